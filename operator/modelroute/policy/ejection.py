"""When a replica is taken out because it fails, how long, and what brings it back.

Called by the router after each try and by its prober. Never probes and never chooses: it says what may be chosen.
"""

import math
from collections.abc import Sequence

from modelroute.snapshot.types import Health

_DOUBLINGS = 30  # after them any ejection is at its bound; a float does not overflow


class Vitals:
    """How one replica fares. All times are seconds of one monotonic clock.

    Taken out by failures in a row, or by its success rate over a sliding window (of two halves, so that it takes two
    pairs of counters: it is of between half and all of ``window``), as Envoy's outlier detection does. Its time out
    doubles with each time in a row. What brings it back when that time is over: a probe, or where there are none, one
    request that is tried. It comes back on trial: until its first success, one failure takes it out again.

    Where all of a backend are out its replicas are asked nevertheless; there, as many successes in a row as it took
    failures bring one back before its time, since its probes may be what is broken.
    """

    __slots__ = (
        "_at_stake", "_back", "_bad", "_doomed", "_good", "_next", "_old_bad", "_old_good", "_run", "_turn",
        "ejected", "ejected_until", "settings", "times",
    )  # fmt: skip

    def __init__(self, settings: Health) -> None:
        self.settings = settings  # may be replaced at any time; an ejection that runs keeps its end
        self.ejected = False
        self.ejected_until = -math.inf
        self.times = 0
        self._back = -math.inf  # when the time spent healthy, as far as it is not forgiven yet, began
        self._next = -math.inf  # when to probe, or try, next
        self._at_stake = False  # a request is tried that decides
        self._doomed = False  # only a probe brings it back
        self._run = 0  # failures in a row; while ejected, successes in a row
        self._good = self._bad = self._old_good = self._old_bad = 0
        self._turn = -math.inf  # when the half of the window ends

    def succeeded(self, now: float) -> bool:
        """A request was answered. Returns, as all that follow, whether ``ejected`` changed."""
        if self.ejected:
            return self._succeeded_while_out(now)
        if now >= self._turn:
            self._roll(now)
        self._run = 0
        self._good += 1
        self._next = now + self.settings.interval
        return False

    def failed(self, now: float, *, fatal: bool = False) -> bool:
        """A request failed; ``fatal``: in a way that says that all will, so that it is taken out at once."""
        if self.ejected:
            self._run = 0
            self._doomed |= fatal
            return self._at_stake and self._eject(now)
        if now >= self._turn:
            self._roll(now)
        self._run += 1
        self._bad += 1
        if not (fatal or self._run >= self.settings.consecutive_failures or self._rate_is_low()):
            return False
        self._doomed = fatal
        return self._eject(now)

    def probe_due(self, now: float) -> bool:
        """Whether to probe now. True once: the caller probes and tells by ``probed``, else it is due after a while."""
        settings = self.settings
        wanted = bool(settings.path) and (self.ejected or settings.interval > 0)
        return wanted and self._claim(now)

    def trial(self, now: float) -> bool:
        """Whether to try a request on an ejected replica that has no probes. True once, as ``probe_due``."""
        if self.settings.path or not self.ejected or not self._claim(now):
            return False
        self._at_stake = True
        return True

    def met(self, now: float) -> None:
        """It is seen for the first time: its first probe is due after an interval."""
        self._next = now + self.settings.interval

    def hasten(self, moment: float) -> None:
        """End its time out by ``moment``: nobody is left to do its work."""
        if self.ejected and self.ejected_until > moment:
            self.ejected_until = self._next = moment

    def released(self, now: float) -> bool:
        """Time alone brings back a replica that has no probes: for who looks at replicas that no request can reach."""
        over = self.ejected and not self.settings.path and now >= self.ejected_until
        return over and self._come_back(now)

    def probed(self, now: float, ok: bool) -> bool:  # noqa: FBT001
        """What a probe found. One that was sent before the ejection and comes in its time says nothing."""
        if self.ejected:
            if now < self.ejected_until:
                return False
            return self._come_back(now) if ok else self._eject(now)
        if ok:  # it says nothing of requests: failures in a row stay, as those of a vLLM that is healthy and drains
            self._next = now + self.settings.interval
            return False
        # Sooner next time, so that a dead one that nobody asks is out after one more interval.
        self._next = now + self.settings.interval / max(1, self.settings.consecutive_failures)
        return self.failed(now)

    def _claim(self, now: float) -> bool:
        if now < self._next:
            return False
        self._next = now + (self.settings.interval or self.settings.ejection)
        return True

    def _roll(self, now: float) -> None:
        """Begin another half of the window; the last one stays while it is not older than a half."""
        half = self.settings.window / 2
        fresh = now < self._turn + half
        self._old_good, self._old_bad = (self._good, self._bad) if fresh else (0, 0)
        self._good = self._bad = 0
        self._turn = (self._turn if fresh else now) + half
        self._forgive(now)

    def _forgive(self, now: float) -> None:
        """One time in a row fewer for each ejection-time spent healthy, as Envoy does for each of its intervals."""
        if not self.times:
            return
        step = self.settings.ejection
        healthy = now - self._back
        credit = self.times if healthy >= step * self.times else int(healthy / step)
        self.times -= credit
        self._back += credit * step

    def _rate_is_low(self) -> bool:
        good, bad = self._good + self._old_good, self._bad + self._old_bad
        enough = good + bad >= self.settings.window_requests
        return enough and good * 100 < self.settings.success_percent * (good + bad)

    def _eject(self, now: float) -> bool:
        """Out, for longer than the last time; returns whether it was in."""
        changed = not self.ejected
        if changed:
            self._forgive(now)
        longer = self.settings.ejection * 2.0 ** min(self.times, _DOUBLINGS)
        self.times += 1
        self.ejected = True
        self.ejected_until = self._next = now + min(self.settings.max_ejection, longer)
        self._at_stake = False
        self._run = 0
        return changed

    def _succeeded_while_out(self, now: float) -> bool:
        """The request that was tried brings it back; others may be streams that are older than the trouble."""
        self._run += 1
        proven = self._run >= self.settings.consecutive_failures and not self._doomed
        return (self._at_stake or proven) and self._come_back(now)

    def _come_back(self, now: float) -> bool:
        self.ejected = self._at_stake = self._doomed = False
        self._back = now
        self._next = now + self.settings.interval
        self._run = self.settings.consecutive_failures - 1
        self._good = self._bad = self._old_good = self._old_bad = 0
        self._turn = now + self.settings.window / 2
        return True


def chosen_from(vitals: Sequence[Vitals], settings: Health) -> tuple[tuple[int, ...], bool]:
    """Which replicas may be chosen, by their index, and whether all are ejected, so that the backend is down.

    Of ``n`` no more than ``max_ejected_percent``, rounded down, are left out, and never the last one, as with Envoy's
    panic threshold: the rest could not carry the load, and what fails on all of them may not be their fault. Those
    whose time is over first are the first to be chosen nevertheless.
    """
    count = len(vitals)
    out = sorted((i for i in range(count) if vitals[i].ejected), key=lambda i: vitals[i].ejected_until)
    allowed = min(count * settings.max_ejected_percent // 100, count - 1)
    left_out = frozenset(out[max(0, len(out) - allowed) :])
    return tuple(i for i in range(count) if i not in left_out), bool(count) and len(out) == count
