"""Whether a live object still is as it must be, so that nothing is written while nothing differs.

Called by ``reconciler`` for every object of a plan, and by ``status.router`` for the router's Deployment. Only what is
set here is compared: what the API server fills in, and what others set beside it, is theirs. A field that is no longer
set shows in the content annotation.
"""

from typing import Any

from modelroute.planning import quantity
from modelroute.planning.observed import KubeObject

# Lists of maps that the API server merges, and the key that tells entries apart (several: the first that is set).
_KEYED = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
# Maps that are replaced whole: one more label in a Service's selector picks no pod.
_WHOLE = ("selector", "labelSelector", "podSelector", "namespaceSelector", "matchLabels", "nodeSelector")
_AMOUNT = "sizeLimit"
"""The field that holds a quantity; the entries of limits and requests are taken for it, too."""


def needs_apply(desired: KubeObject, live: KubeObject | None) -> bool:
    """Whether ``desired`` must be sent: ``live`` is missing, or differs in a field that ``desired`` sets."""
    return live is None or not _holds(desired, live, "")


def _holds(desired: Any, live: Any, field: str) -> bool:
    """Whether ``live`` has all that ``desired`` sets; ``field`` is the name of the map's entry that holds both."""
    if live is None:
        # What is empty is left out by the API server; False, 0 and an empty map differ from what their absence means.
        return desired in (None, "", [])
    if field == _AMOUNT:
        return quantity.same(str(desired), str(live))
    if isinstance(desired, dict) and isinstance(live, dict):
        return _map_holds(desired, live, field)
    if isinstance(desired, list) and isinstance(live, list):
        return _list_holds(desired, live, field)
    return bool(desired == live) or (desired is None and not live)


def _map_holds(desired: dict[str, Any], live: dict[str, Any], field: str) -> bool:
    if field in _WHOLE and desired.keys() != live.keys():
        return False
    of_amounts = field in ("limits", "requests")
    return all(_holds(value, live.get(key), _AMOUNT if of_amounts else key) for key, value in desired.items())


def _list_holds(desired: list[Any], live: list[Any], field: str) -> bool:
    keys = _KEYED.get(field)
    if keys is None:
        return len(desired) == len(live) and all(_holds(d, item, "") for d, item in zip(desired, live, strict=True))
    by_key = {_identity(item, keys): item for item in live}
    return all(_holds(item, by_key.get(_identity(item, keys)), "") for item in desired)


def _identity(item: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((item[key] for key in keys if key in item), None)
