"""`./dev bench operator`: how an operator fares among many ModelRoutes, on a control plane of its own.

N routes are there (no router, one Service as the backend) before a cold operator starts: until each is carried out;
then single changes; then many at once; then a minute in which nothing changes. Nothing else runs on that control plane.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from benchmarks import command, machine
from benchmarks.plane import HOME, ROOT, Api, Plane, running
from benchmarks.progress import Key, Progress
from benchmarks.steady import AuditLog, audited
from benchmarks.verdict import Row, table
from modelroute.api import types as t
from modelroute.controller.kube.kinds import MODEL_ROUTE, SERVICE, SLICE

SIZES = (100, 500, 1000, 2000, 5000)
CHANGES, BURST = 200, 500
STEADY_SECONDS, SETTLE_SECONDS = 60.0, 15.0
GROUP = 100
"""Routes of one namespace."""
COMMAND = (sys.executable, "-m", "modelroute.cli.main", "operator")
LIMIT_SECONDS = 900.0
"""For any one step; past it the operator does not do its work."""


class Found(msgspec.Struct):
    """The figures of one size. Seconds, MB of 10^6 bytes."""

    routes: int
    converge_seconds: float = 0.0
    converge_cpu_seconds: float = 0.0
    requests_per_route: float = 0.0
    change_p50_seconds: float = 0.0
    change_p99_seconds: float = 0.0
    burst_routes: int = 0
    burst_seconds: float = 0.0
    burst_writes_per_second: float = 0.0
    steady_writes: int = 0
    steady_calls_per_second: float = 0.0
    steady_cpu_percent: float = 0.0
    rss_mb: float = 0.0

    def rows(self) -> list[Row]:
        """With the goals, which are for 1,000 routes and fewer."""
        goals = self.routes <= 1000
        return [
            Row("cold start until all routes are carried out", self.converge_seconds, "s", 20 if goals else None),
            Row("CPU of the operator for that", self.converge_cpu_seconds, "s"),
            Row("requests for that, by route", self.requests_per_route),
            Row("one change, p50", self.change_p50_seconds, "s"),
            Row("one change, p99", self.change_p99_seconds, "s", 1 if goals else None),
            Row(f"{self.burst_routes} changes at once", self.burst_seconds, "s"),
            Row("writes a second meanwhile", self.burst_writes_per_second),
            Row(f"writes in {STEADY_SECONDS:.0f} s without a change", self.steady_writes, "", 0),
            Row("API calls a second meanwhile", self.steady_calls_per_second, "", 2),
            Row("CPU meanwhile", self.steady_cpu_percent, "%", 2 if goals else None),
            Row("resident memory", self.rss_mb, "MB", 300 if goals else None),
        ]


def keys(routes: int) -> list[Key]:
    """Which ModelRoutes there are."""
    return [Key(f"team-{n // GROUP}", f"chat-{n % GROUP}") for n in range(routes)]


def manifest(key: Key) -> dict[str, object]:
    """A route without a router, in front of a Service."""
    backends = [{"name": "small", "model": "small", "targetRef": {"name": "vllm", "port": 80}}]
    return {
        "metadata": {"namespace": key.namespace, "name": key.name},
        "spec": {"router": {"mode": "None"}, "backends": backends},
    }


async def fill(plane: Plane, routes: Sequence[Key]) -> None:
    """Make the routes, and for each namespace the Service and its one replica."""
    port = {"name": "http", "port": 80}
    for namespace in dict.fromkeys(key.namespace for key in routes):
        await plane.namespace(namespace)
        await plane.api.create(SERVICE, namespace, {"metadata": {"name": "vllm"}, "spec": {"ports": [port]}})
        piece = {
            "metadata": {"name": "vllm-1", "labels": {"kubernetes.io/service-name": "vllm"}},
            "addressType": "IPv4",
            "ports": [port | {"port": 8000}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        }
        await plane.api.create(SLICE, namespace, piece)
    few = asyncio.Semaphore(16)

    async def one(key: Key) -> None:
        async with few:
            await plane.api.create(MODEL_ROUTE, key.namespace, manifest(key))

    await asyncio.gather(*map(one, routes))


@contextlib.asynccontextmanager
async def operator(plane: Plane) -> AsyncIterator[tuple[asyncio.subprocess.Process, float]]:
    """The operator as a pod runs it, and when it was started; where anything fails, its last words are shown."""
    environment = os.environ | {"KUBECONFIG": str(plane.operator_kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
    environment["POD_NAMESPACE"] = HOME
    # As in the image, everything is compiled before the start.
    environment |= {"PYTHONPYCACHEPREFIX": str(plane.directory / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    compiling = await asyncio.create_subprocess_exec(
        *COMMAND, "--help", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    await compiling.wait()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = plane.directory / "operator.log"
    began = asyncio.get_running_loop().time()
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--router-image=bench/router:1", f"--admin-port={port}", env=environment, stdout=out, stderr=out
        )
    try:
        yield process, began
    except BaseException:
        command.told(log.read_text()[-3000:])
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def change(api: Api, progress: Progress, key: Key, model: str) -> float:
    """Change one field of a route: seconds until that is carried out."""
    began = asyncio.get_running_loop().time()
    path = MODEL_ROUTE.path(*key)
    changed = await api.ask("PATCH", path, {"spec": {"models": [model]}}, "merge-patch+json")
    generation = changed["metadata"]["generation"]
    return await progress.carried_out(key, generation) - began


async def changes(api: Api, progress: Progress, routes: Sequence[Key]) -> list[float]:
    """One after the other, at routes by chance."""
    chance = random.Random(1)
    found = []
    for n in range(CHANGES):
        found.append(await change(api, progress, chance.choice(routes), f"m-{n}"))
        await asyncio.sleep(0.02)
    return found


def requests(lines: Sequence[str]) -> int:
    """How many requests of the operator are in an audit log; a watch counts once."""
    events = (json.loads(line) for line in lines)
    return len(
        {e["auditID"] for e in events if e["user"].get("username", "").startswith(f"system:serviceaccount:{HOME}:")}
    )


def peak(lines: Sequence[str]) -> int:
    """The most writes of the operator within one second of an audit log."""
    by_second: Counter[str] = Counter()
    for line in lines:
        by_second[json.loads(line)["stageTimestamp"][:19]] += audited([line], HOME).total()
    return max(by_second.values(), default=0)


async def measured(routes: int, directory: Path) -> Found:
    """All figures of one size."""
    found, progress, wanted = Found(routes), Progress(), keys(routes)
    async with running(directory) as plane:
        await fill(plane, wanted)
        async with progress.following(plane.api), asyncio.timeout(LIMIT_SECONDS):
            log = AuditLog(plane.audit_log)
            async with operator(plane) as (process, began):
                found.converge_seconds = await progress.all_carried_out(wanted) - began
                found.converge_cpu_seconds = machine.family_cpu_seconds(process.pid)
                await asyncio.sleep(1)
                found.requests_per_route = requests(log.added()) / routes
                command.told(f"{routes} routes are carried out after {found.converge_seconds:.1f} s")
                times = await changes(plane.api, progress, wanted)
                found.change_p50_seconds = machine.percentile(times, 0.5)
                found.change_p99_seconds = machine.percentile(times, 0.99)
                await burst(plane, progress, wanted[:BURST], found)
                await asyncio.sleep(SETTLE_SECONDS)
                await steady(plane, process.pid, found)
    return found


async def burst(plane: Plane, progress: Progress, routes: Sequence[Key], found: Found) -> None:
    """Fill in how it fares when all these routes change at once."""
    log, began = AuditLog(plane.audit_log), asyncio.get_running_loop().time()
    await asyncio.gather(*(change(plane.api, progress, key, "many") for key in routes))
    found.burst_routes, found.burst_seconds = len(routes), asyncio.get_running_loop().time() - began
    found.burst_writes_per_second = peak(log.added())


async def steady(plane: Plane, pid: int, found: Found) -> None:
    """Fill in what is done while nothing changes."""
    log, used = AuditLog(plane.audit_log), machine.family_cpu_seconds(pid)
    await asyncio.sleep(STEADY_SECONDS)
    found.steady_cpu_percent = 100 * (machine.family_cpu_seconds(pid) - used) / STEADY_SECONDS
    found.rss_mb = machine.family_rss_mb(pid)
    lines = log.added()
    writes = audited(lines, HOME)
    del writes["update leases"]  # who leads says so all the time
    found.steady_writes = writes.total()
    found.steady_calls_per_second = requests(lines) / STEADY_SECONDS


async def each(sizes: Sequence[int]) -> list[Found]:
    """The figures of all sizes, each on a new control plane."""
    found = []
    for size in sizes:
        async with command.directory() as made:
            found.append(await measured(size, made))
            command.told(table(found[-1].rows()))
    return found


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command.parser("operator", __doc__)
    parser.add_argument("--routes", type=_size, default=1000, metavar="N", help="ModelRoutes (1000)")
    parser.add_argument("--grow", action="store_true", help=f"one after the other: {', '.join(map(str, SIZES))} routes")
    args = parser.parse_args()
    facts = machine.facts()
    found = command.run(lambda: each(SIZES if args.grow else (args.routes,)))
    print(machine.described(facts))
    for one in found:
        print(f"\n{one.routes} ModelRoutes, {t.API_VERSION}\n{table(one.rows())}")
    if args.json:
        figures = [msgspec.to_builtins(one) for one in found]
        print(json.dumps(({"sizes": figures} if args.grow else figures[0]) | {"machine": facts}))


def _size(text: str) -> int:
    if not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError("a number of ModelRoutes, 1 or more")
    return int(text)


if __name__ == "__main__":
    main()
