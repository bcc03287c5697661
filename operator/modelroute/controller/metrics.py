"""The operator's own metrics, served by ``admin``. No label holds a user's name for anything, but
those of warm-ups: a route has at most 32 backends, and its series go with it."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("modelroute_reconciles_total", "Reconciles of a ModelRoute, by outcome.", ["outcome"])
RECONCILE_SECONDS = Histogram(
    "modelroute_reconcile_seconds",
    "Seconds that a reconcile took.",
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
)
QUEUED = Gauge("modelroute_queue_length", "ModelRoutes that wait for a reconcile.")
START_SECONDS = Histogram(
    "modelroute_replica_start_seconds",
    "Seconds that a start of a replica took: until a node was found, its container ran, /health said 200, a first "
    "request was answered.",
    ["phase"],
    buckets=(1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560),
)
API_REQUESTS = Counter(
    "modelroute_api_requests_total",
    "Requests to the Kubernetes API; code is error where none was answered.",
    ["verb", "resource", "code"],
)
LEADER = Gauge("modelroute_leader", "1 while this operator holds the lease and acts, else 0.")
WATCH_RESTARTS = Counter("modelroute_watch_restarts_total", "Watches that were begun anew, by resource.", ["resource"])
WATCH_AGE = Gauge(
    "modelroute_watch_age_seconds", "Seconds since anything was heard on the watches of a resource.", ["resource"]
)
REVIEWS = Counter("modelroute_admission_reviews_total", "Answers of the webhooks, by code.", ["webhook", "code"])
REPAIRS = Counter("modelroute_cache_repairs_total", "Objects that the watch had missed and a listing brought.")
UNSEEN = Gauge(
    "modelroute_unseen_namespaces",
    "Where a resource may not be listed, or not watched; all at once count as one.",
    ["resource"],
)
UNREADABLE = Counter(
    "modelroute_unreadable_objects_total", "Objects that were seen and could not be made sense of, by kind.", ["kind"]
)
SAMPLING_LAG = Gauge("modelroute_sampling_lag_seconds", "Seconds that the last request to a pod waited for its turn.")
ASKED = Counter(
    "modelroute_pods_asked_total", "Requests to pods for what they run and do, by outcome.", ["of", "outcome"]
)

_BACKEND = ["namespace", "route", "backend"]
WARMUP_SECONDS = Histogram(
    "modelroute_warmup_seconds",
    "Seconds in which a replica answered the request of a warm-up.",
    _BACKEND,
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
WARMUP_FAILURES = Counter("modelroute_warmup_failures_total", "Warm-ups that a replica did not answer.", _BACKEND)


def forget_warmups(*backend: str) -> None:
    """The backend is gone: its namespace, its route and its name."""
    for metric in (WARMUP_SECONDS, WARMUP_FAILURES):
        metric.remove(*backend)
