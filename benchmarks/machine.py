"""What the benchmarks read from the machine: CPU time, memory and facts, from /proc; and how samples are summed up.

Called by every benchmark here. Never starts anything and never measures by itself.
"""

import contextlib
import itertools
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` (0 to 1) of them do not exceed. ValueError when empty."""
    if not values:
        raise ValueError("a percentile of nothing")
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def cpu_seconds(stat: str) -> float:
    """utime + stime of one /proc/PID/stat, in seconds; it counts all threads of the process, also those that ended."""
    after_name = stat[stat.rindex(")") + 2 :].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS


def rss_mb(status: str) -> float:
    """VmRSS of one /proc/PID/status, in MB of 10^6 bytes; 0 for what has no memory of its own."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def family(pid: int) -> list[int]:
    """``pid`` and all processes below it that run now."""
    found = [pid]
    for parent in found:
        for children in (PROC / str(parent) / "task").glob("*/children"):
            found.extend(map(int, children.read_text().split()))
    return found


def family_cpu_seconds(pid: int) -> float:
    """CPU seconds that ``pid`` and the processes below it have used so far."""
    return sum(cpu_seconds((PROC / str(one) / "stat").read_text()) for one in family(pid))


def family_rss_mb(pid: int) -> float:
    """Resident MB of ``pid`` and the processes below it; pages that they share count once for each."""
    return sum(rss_mb((PROC / str(one) / "status").read_text()) for one in family(pid))


def sockets(pid: int) -> int:
    """Sockets that ``pid`` has open."""
    found = 0
    for file in (PROC / str(pid) / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(file.readlink()).startswith("socket:")
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How fast the second of each pair grows with the first: the median slope of all pairs of points (Theil and Sen).

    A few points far off do not sway it. At most 200 points are used, evenly spread. ValueError for less than two.
    """
    step = max(1, len(points) // 200)
    some = points[::step]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(some, 2) if b[0] > a[0]]
    if not slopes:
        raise ValueError("a slope needs two points")
    return statistics.median(slopes)


def facts() -> dict[str, str | int]:
    """What a reader needs to judge the figures: processor, cores, kernel, Python, and the load right now."""
    model = next((line for line in (PROC / "cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "cpu": model.partition(":")[2].strip() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": " ".join((PROC / "loadavg").read_text().split()[:3]),
    }


def described(machine: Mapping[str, str | int]) -> str:
    """One line for people."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}; "
        f"load before the run {machine['load']}"
    )
