"""What was sent, and the form in which the API server keeps it: what it keeps otherwise is not sent for ever.

Called by ``reconciler``, which holds it in memory: it only saves requests. Never knows what differs, or why.
"""

import hashlib
import json
from typing import Any

from modelroute.controller.watching.cache import Key
from modelroute.planning.observed import KubeObject


class Written:
    """The last that was sent to each place of a route, and what came of it."""

    def __init__(self) -> None:
        """Nothing was sent."""
        self._known: dict[tuple[Key, str], tuple[str, str]] = {}

    def __contains__(self, place: tuple[Key, str]) -> bool:
        """Whether anything was sent there."""
        return place in self._known

    def note(self, key: Key, place: str, sent: KubeObject, kept: KubeObject) -> None:
        """``kept`` is what the answer says: what is there by now may be somebody else's."""
        self._known[key, place] = (_digest(sent), _digest(_settled(kept)))

    def stays(self, key: Key, place: str, sent: KubeObject, live: KubeObject) -> bool:
        """Whether ``sent`` was sent, and came out as ``live``: it would do so again."""
        return self._known.get((key, place)) == (_digest(sent), _digest(_settled(live)))

    def drop(self, key: Key, place: str) -> None:
        """It was deleted."""
        self._known.pop((key, place), None)

    def forget(self, key: Key) -> None:
        """The route is gone."""
        for known in [k for k in self._known if k[0] == key]:
            del self._known[known]


def _settled(live: KubeObject) -> KubeObject:
    """A live object without what changes by itself; a status is as it is."""
    if "metadata" not in live:
        return live
    meta = {k: v for k, v in live["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return {**{k: v for k, v in live.items() if k != "status"}, "metadata": meta}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
