"""A request's first choice; and who would have had a request, had they a replica, so that somebody starts one.

Called by ``exchange`` and ``succession``. A backend that is cold while others answer for it would stay so for ever: no
request waits for it. Costs nothing while none is cold.
"""

import random
from collections.abc import Callable

from modelroute.policy.decide import Forward, Hold, Reject, decide, warm
from modelroute.policy.facts import Facts, Moment
from modelroute.router.replicas.live import Route


def choose(route: Route, facts: Facts, moment: Moment) -> Forward | Hold | Reject:
    """Decide, and count for a cold backend what was meant for it."""
    draw = random.random()  # noqa: S311  # the chance of a draw, not of a secret
    if moment.troubles:
        note_cold(route, moment, lambda then: decide(route.policy, facts, draw, then))
    return decide(route.policy, facts, draw, moment)


def note_cold(route: Route, moment: Moment, find: Callable[[Moment], Forward | Hold | Reject | None]) -> None:
    """Count a request for the cold backend that ``find`` finds at a moment in which none is cold."""
    then = warm(moment)
    meant = find(then) if then is not None else None
    if meant is not None and not isinstance(meant, Reject):
        route.targets[meant.backend.name].gate.meant(moment.now)
