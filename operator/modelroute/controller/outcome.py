"""The status that ``planning`` made, corrected by what the API server refused to do.

Called by ``reconciler``. Pure, but about the controller's own doings, which planning does not see.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.parse import parse
from modelroute.api.status import AcceptedSpec, Status, condition_of
from modelroute.controller.kube.calls import FORBIDDEN, ApiError
from modelroute.errors import InvalidManifestError
from modelroute.planning.observed import KubeObject
from modelroute.planning.status.conditions import Verdict, merged
from modelroute.planning.status.events import Event

PROGRAMMED, ACCEPTED = "Programmed", "Accepted"
MESSAGE_LIMIT = 1024
KEPT_BYTES = 262144
"""The largest spec that is kept twice: etcd takes objects of 1.5 MiB."""


def with_refusals(planned: Status, refusals: Sequence[ApiError], old: Status | None, now: str) -> Status:
    """``planned``, with Programmed False and each refusal in its message. RFC 3339 ``now``."""
    if not refusals:
        return planned
    reason = "Forbidden" if any(error.status == FORBIDDEN for error in refusals) else "ApplyFailed"
    message = "; ".join(sorted({str(error) for error in refusals}))[:MESSAGE_LIMIT]
    others = (Verdict(c.type, c.status, c.reason, c.message) for c in planned.conditions if c.type != PROGRAMMED)
    verdicts = (*others, Verdict(PROGRAMMED, "False", reason, message))
    return msgspec.structs.replace(planned, conditions=merged(old, verdicts, planned.observed_generation, now))


def refusal_events(written: Status, refusals: Sequence[ApiError], old: Status | None) -> tuple[Event, ...]:
    """A warning, when the refusals are news."""
    condition, before = condition_of(written, PROGRAMMED), condition_of(old, PROGRAMMED)
    if not refusals or condition is None or (before and before.message == condition.message):
        return ()
    return (Event("Warning", condition.reason, condition.message),)


def unjudged(old: Status | None) -> Status | None:
    """``old`` without what it says of a spec: what the last good one is planned on while another is refused."""
    return old and msgspec.structs.replace(old, conditions=tuple(c for c in old.conditions if c.type != ACCEPTED))


def with_verdict(planned: Status, refused: Status, good: t.ModelRoute) -> Status:
    """``planned``, of the last ``good`` spec, with what ``refused`` says of the one that is there now.

    It keeps the good one for a successor, who never saw it.
    """
    verdict = condition_of(refused, ACCEPTED)
    spec = msgspec.json.encode(good.spec)  # and decoded: to builtins it keeps tuples, which no stored status equals
    return msgspec.structs.replace(
        planned,
        observed_generation=refused.observed_generation,
        conditions=tuple(verdict if verdict and c.type == ACCEPTED else c for c in planned.conditions),
        accepted=AcceptedSpec(good.metadata.generation, msgspec.json.decode(spec)) if len(spec) <= KEPT_BYTES else None,
    )


def recalled(live: KubeObject, old: Status | None) -> t.ModelRoute | None:
    """The last good spec of ``live``, as a predecessor kept it; None where none did, or it is not good any more."""
    if old is None or old.accepted is None:
        return None
    meta = {**live["metadata"], "generation": old.accepted.generation}
    try:
        return parse({**live, "metadata": meta, "spec": old.accepted.spec})
    except InvalidManifestError:
        return None


def encoded(status: Status) -> dict[str, Any]:
    """``status`` as the API server keeps it: without what is not set."""
    bare: dict[str, Any] = _bare(msgspec.to_builtins(status))
    if status.accepted:
        bare["accepted"]["spec"] = status.accepted.spec  # whole: a null in a pod template takes a field of ours away
    return bare


def read(stored: object) -> Status | None:
    """The status in a live ModelRoute; None where there is none, or none that this operator can read."""
    try:
        return msgspec.convert(stored, Status) if stored else None
    except msgspec.ValidationError:
        return None


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _bare(v) for k, v in value.items() if v is not None}
    return [_bare(v) for v in value] if isinstance(value, list | tuple) else value
