"""The small real requests that replicas are asked before they get traffic, after they woke, and by schedules.

Called by ``warming`` and ``scaling``.
"""

from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.podchecks import PORT
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.errands import WarmUp
from modelroute.planning.observed import Pod


class Target(NamedTuple):
    """Whom to ask."""

    pod: str  # as ``WarmUp.pod``
    address: str


def request(
    backend: t.Backend, target: Target, model: str, slot: tuple[str, str] | None = None, opens: float | None = None
) -> WarmUp:
    """What to ask it; ``model``: where the backend has no name of its own. The rest as ``WarmUp`` has it."""
    asked = backend.warmup.request
    return WarmUp(
        backend=backend.name,
        pod=target.pod,
        address=target.address,
        model=names.model(backend) or model,
        prompt=asked.prompt,
        max_tokens=asked.max_tokens,
        timeout=seconds(asked.timeout),
        slot=slot,
        opens=opens,
    )


def first_request(backend: t.Backend, pod: Pod) -> WarmUp:
    """The request that a replica of a vllm backend answers first, such as after it woke."""
    return request(backend, Target(pod.name, pod.at(PORT)), backend.name)
