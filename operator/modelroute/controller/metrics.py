"""The operator's own metrics, served by ``admin``. No label holds a user's name for anything."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("modelroute_reconciles_total", "Reconciles of a ModelRoute, by outcome.", ["outcome"])
RECONCILE_SECONDS = Histogram(
    "modelroute_reconcile_seconds",
    "Seconds that a reconcile took.",
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
)
QUEUED = Gauge("modelroute_queue_length", "ModelRoutes that wait for a reconcile.")
API_REQUESTS = Counter(
    "modelroute_api_requests_total", "Requests to the Kubernetes API, watches apart.", ["verb", "resource", "code"]
)
REVIEWS = Counter("modelroute_admission_reviews_total", "Answers of the webhooks, by code.", ["webhook", "code"])
REPAIRS = Counter("modelroute_cache_repairs_total", "Objects that the watch had missed and a listing brought.")
