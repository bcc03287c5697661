"""`./dev bench apply`: how long after `kubectl apply` of a changed weight the router uses it, on the demo's cluster.

Flips all the traffic of the quickstart from one backend to the other and back, while requests go on; who answers is
in ``x-modelroute-backend``. The quickstart is put back at the end. Never talks to anything but the demo's cluster.
"""

import argparse
import asyncio
import copy
import json
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import cluster, machine

TRIES = 20
EVERY = 0.02
"""Seconds between two requests, whether or not the earlier ones are answered."""
SETTLED = 0.5
"""Seconds in which only the new backend was chosen, for a change to count as made."""
PATIENCE = 60
QUICKSTART = Path(__file__).resolve().parents[1] / "examples/quickstart.yaml"
BODY = b'{"model":"chat","max_tokens":1,"messages":[{"role":"user","content":"What is a router?"}]}'
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n"
)


class Answer(NamedTuple):
    """When a request was sent (time.perf_counter), which backend answered it, and after how many seconds."""

    sent: float
    backend: str
    took: float = 0.0


class Try(NamedTuple):
    """Seconds to the use of one change, from the start of `kubectl apply` and from its return."""

    from_start: float
    from_return: float


def switched(answers: Iterable[Answer], since: float, target: str) -> float | None:
    """When the first request was sent from which on ``target`` alone answers; None while the last one is not its.

    Several routers need not switch at the same time: the change is made when the last one has.
    """
    first = None
    for answer in sorted(a for a in answers if a.sent >= since):
        if answer.backend != target:
            first = None
        elif first is None:
            first = answer.sent
    return first


def backend_of(answer: bytes) -> str:
    """The backend in an HTTP answer's head. ValueError, with the answer, unless it is a 200 that names one."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if " 200 " not in head[0] + " " or "x-modelroute-backend" not in fields:
        raise ValueError(answer[:300].decode("latin-1"))
    return fields["x-modelroute-backend"]


class Asking:
    """Requests that go on in the background, a new connection each, so that every router is met."""

    def __init__(self, address: tuple[str, int] = cluster.ROUTER, body: bytes = BODY, patience: float = 10) -> None:
        self._address = address
        self._request = HEAD % len(body) + body
        self._patience = patience
        self.answers: list[Answer] = []
        self.failed: list[str] = []
        self._running: set[asyncio.Task[None]] = set()

    async def go_on(self) -> None:
        """Start a request every ``EVERY`` seconds, until cancelled."""
        due = time.perf_counter()
        while True:
            task = asyncio.create_task(self._ask())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            due += EVERY
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def last_ones(self) -> None:
        """Wait for the requests that are under way."""
        await asyncio.gather(*self._running)

    async def _ask(self) -> None:
        sent = time.perf_counter()
        try:
            async with asyncio.timeout(self._patience):
                reader, writer = await asyncio.open_connection(*self._address)
                writer.write(self._request)
                backend = backend_of(await reader.read())
                writer.close()
        except (OSError, ValueError) as error:
            self.failed.append(repr(error))
        else:
            self.answers.append(Answer(sent, backend, time.perf_counter() - sent))


def manifests(quickstart: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The quickstart's ModelRoute, and by backend name the same with all the weight on that one of its first two."""
    route = next(d for d in yaml.safe_load_all(quickstart) if d and d["kind"] == "ModelRoute")
    flipped = {}
    for target in route["spec"]["backends"][:2]:
        changed = copy.deepcopy(route)
        for backend in changed["spec"]["backends"]:
            backend["weight"] = 100 if backend["name"] == target["name"] else 0
        flipped[target["name"]] = changed
    return route, flipped


async def applied(route: dict[str, Any]) -> None:
    """`kubectl apply` the ModelRoute. NoDemoError with its last words when it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *cluster.kubectl(), "-n", cluster.NAMESPACE, "apply", "-f", "-", stdin=pipe, stdout=pipe, stderr=pipe
    )
    _, problem = await process.communicate(json.dumps(route).encode())
    if process.returncode:
        raise cluster.NoDemoError(problem.decode())


async def flip(asking: Asking, route: dict[str, Any], target: str) -> Try:
    """Apply one change and wait until only ``target`` answers."""
    began = time.perf_counter()
    await applied(route)
    returned = time.perf_counter()
    while time.perf_counter() < began + PATIENCE:
        await asyncio.sleep(EVERY)
        since = switched(asking.answers, began, target)
        if since is not None and asking.answers[-1].sent > since + SETTLED:
            return Try(since - began, since - returned)
    raise cluster.NoDemoError(
        f"the router does not send everything to {target} {PATIENCE} s after `kubectl apply`; "
        f"last problems: {asking.failed[-3:]}"
    )


async def measure() -> tuple[list[Try], Asking]:
    """All tries, one after the other; the first flip is not counted, since it may change nothing."""
    original, flipped = manifests(QUICKSTART.read_text())
    asking = Asking()
    load = asyncio.create_task(asking.go_on())
    tries: list[Try] = []
    try:
        for number in range(TRIES + 1):
            target = list(flipped)[number % 2]
            tries.append(await flip(asking, flipped[target], target))
            print(f"{number:3} of {TRIES}: {tries[-1].from_start:.2f} s, all to {target}", file=sys.stderr)
    finally:
        load.cancel()
        await asking.last_ones()
        await applied(original)
    return tries[1:], asking


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="./dev bench apply", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    facts = machine.facts()
    try:
        cluster.require_ready_route()
        tries, asking = asyncio.run(measure())
    except cluster.NoDemoError as error:
        sys.exit(f"error: {error}")
    print(machine.described(facts))
    report: dict[str, Any] = {}
    for name in Try._fields:
        values = [getattr(one, name) for one in tries]
        report[name] = {"median_s": round(statistics.median(values), 3), "worst_s": round(max(values), 3)}
        print(f"{name.replace('_', ' '):<12} median {statistics.median(values):6.2f} s   worst {max(values):6.2f} s")
    requests = len(asking.answers) + len(asking.failed)
    print(f"{len(tries)} changes, {requests} requests meanwhile, {len(asking.failed)} failed")
    if args.json:
        print(
            json.dumps(
                report | {"tries": len(tries), "requests": requests, "failed": len(asking.failed), "machine": facts}
            )
        )
    if asking.failed:
        sys.exit("error: requests failed while weights changed, such as\n" + "\n".join(asking.failed[:3]))


if __name__ == "__main__":
    main()
