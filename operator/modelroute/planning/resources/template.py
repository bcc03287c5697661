"""A user's pod template laid over ours, as Kubernetes' strategic merge does it.

Called by ``replica``. What a template may hold was checked by ``parse``; what comes of it is held here to the
restricted standard all the same: containers of the user's get our security, unless they narrow it.
"""

from collections.abc import Mapping
from typing import Any

from modelroute.planning.observed import KubeObject
from modelroute.planning.resources import objects

# Lists whose entries are told apart, and laid over each other or replaced, by this key.
_MERGED = {"containers": "name", "initContainers": "name"}
_REPLACED = {"volumes": "name", "env": "name", "volumeMounts": "mountPath"}


def laid_over(ours: KubeObject, theirs: Mapping[str, Any]) -> KubeObject:
    """``ours`` with what ``theirs`` sets in it; neither is changed."""
    made = _map(ours, theirs)
    spec = made["spec"]
    for kind in _MERGED:
        if kind in spec:
            spec[kind] = [_secured(container) for container in spec[kind]]
    return made


def _map(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    return {**ours, **{key: _laid(key, ours.get(key), value) for key, value in theirs.items()}}


def _laid(field: str, ours: Any, theirs: Any) -> Any:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _map(ours, theirs)
    if field in _MERGED:
        return _list(ours or [], theirs, _MERGED[field], merged=True)
    if field in _REPLACED:
        return _list(ours or [], theirs, _REPLACED[field], merged=False)
    return theirs


def _list(ours: list[Any], theirs: list[Any], key: str, *, merged: bool) -> list[Any]:
    """Ours, each with or replaced by what has its key, and then the others of theirs."""
    found = {entry[key]: entry for entry in theirs}
    known = {entry[key] for entry in ours}
    kept = [_entry(entry, found.get(entry[key]), merged=merged) for entry in ours]
    return kept + [entry for entry in theirs if entry[key] not in known]


def _entry(ours: KubeObject, theirs: KubeObject | None, *, merged: bool) -> KubeObject:
    if theirs is None:
        return ours
    return _map(ours, theirs) if merged else theirs


def _secured(container: KubeObject) -> KubeObject:
    return container | {"securityContext": objects.CONTAINER_SECURITY | (container.get("securityContext") or {})}
