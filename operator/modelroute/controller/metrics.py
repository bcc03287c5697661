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
    "modelroute_api_requests_total",
    "Requests to the Kubernetes API; code is error where none was answered.",
    ["verb", "resource", "code"],
)
LEADER = Gauge("modelroute_leader", "1 while this operator holds the lease and acts, else 0.")
WATCH_RESTARTS = Counter("modelroute_watch_restarts_total", "Watches that were begun anew, by resource.", ["resource"])
WATCH_AGE = Gauge(
    "modelroute_watch_age_seconds", "Seconds since anything was heard on the watches of a resource.", ["resource"]
)
REPAIRS = Counter("modelroute_cache_repairs_total", "Objects that the watch had missed and a listing brought.")
