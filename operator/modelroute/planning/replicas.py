"""Who writes a backend's number of replicas, and with which number: one writer, ever.

Called by ``plan`` and ``status``. With engine BuiltIn we write it, and note it, so that an edit is put back. With any
other engine it is someone else's; but what server-side apply once set and then leaves out, it takes away, and the API
server puts 1 in its place. So a number that nobody has changed since we wrote it is written again as it is.
Never decides on a number.
"""

from dataclasses import dataclass, field

from modelroute.api import types as t
from modelroute.planning import names
from modelroute.planning.observed import KubeObject


@dataclass(frozen=True, slots=True)
class Count:
    """What goes into a Deployment that is applied."""

    number: int | None  # None: not ours to say
    version: str | None = None  # the number is true of this version of the live object alone
    notes: dict[str, str] = field(default_factory=dict)  # annotations


def count(backend: t.Backend, live: KubeObject | None, decided: int, *, scaled: bool = False) -> Count:
    """What to apply: ``decided`` is the number of engine BuiltIn, and the first number of any other.

    ``scaled``: there is a ScaledObject. While that is noted, one is looked for, and goes when it is too much.
    """
    engine = backend.scaling.engine
    notes = {names.SCALED_OBJECT_ANNOTATION: "true"} if scaled or engine == "KEDA" else {}
    if engine == "BuiltIn":
        return Count(decided, notes=notes | {names.REPLICAS_ANNOTATION: str(decided)})
    if live is None:
        return Count(decided, notes=notes)
    if _is_ours(live):
        return Count(live["spec"].get("replicas"), live["metadata"].get("resourceVersion"), notes)
    return Count(None, notes=notes)


def before(live: KubeObject | None) -> int | None:
    """The number that a decision starts from: the last one decided, else what another engine left; None: none yet."""
    if live is None:
        return None
    noted: str = (live["metadata"].get("annotations") or {}).get(names.REPLICAS_ANNOTATION, "")
    return int(noted) if noted.isdecimal() else live["spec"].get("replicas")


def within(backend: t.Backend, live: KubeObject | None, floor: int) -> int:
    """The number of before, moved no further than ``floor`` and the most of the spec demand."""
    start = before(live)
    return floor if start is None else min(max(start, floor), max(backend.scaling.most, floor))


def desired(backend: t.Backend, live: KubeObject | None) -> int:
    """How many replicas there are to be, as far as is known."""
    least = backend.scaling.min_replicas
    if backend.scaling.engine == "BuiltIn":
        return within(backend, live, least)
    return least if live is None else int(live["spec"].get("replicas", least))


def _is_ours(live: KubeObject) -> bool:
    """Whether we were the last to change the number; the controller keeps our own managed fields alone."""
    fields = (entry.get("fieldsV1") or {} for entry in live["metadata"].get("managedFields") or ())
    return any("f:replicas" in (entry.get("f:spec") or {}) for entry in fields)
