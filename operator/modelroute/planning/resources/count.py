"""Who writes a backend's number of replicas, and with which number: one writer, ever.

Called by ``plan``. With engine BuiltIn we write it, and note it, so that an edit is put back. With any
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


def count(backend: t.Backend, live: KubeObject | None, decided: int, *, scaled_object: bool) -> Count:
    """What to apply: ``decided`` is the number of engine BuiltIn, and the first number of any other.

    ``scaled_object``: there is one. While that is noted, one is looked for, and goes when it is too much.
    """
    engine = backend.scaling.engine
    notes = {names.SCALED_OBJECT_ANNOTATION: "true"} if scaled_object or engine == "KEDA" else {}
    if engine == "BuiltIn":
        return Count(decided, notes=notes | {names.REPLICAS_ANNOTATION: str(decided)})
    if live is None:
        return Count(decided, notes=notes)
    if _is_ours(live):
        number = live["spec"].get("replicas")
        # An HPA does nothing for a Deployment without replicas, which is how people switch one off.
        wakes = engine == "HPA" and number == 0
        return Count(max(decided, 1) if wakes else number, live["metadata"].get("resourceVersion"), notes)
    return Count(None, notes=notes)


def _is_ours(live: KubeObject) -> bool:
    """Whether we were the last to change the number; the controller keeps our own managed fields alone."""
    fields = (entry.get("fieldsV1") or {} for entry in live["metadata"].get("managedFields") or ())
    return any("f:replicas" in (entry.get("f:spec") or {}) for entry in fields)
