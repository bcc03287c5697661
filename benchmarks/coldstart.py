"""`./dev bench coldstart`: a backend goes to zero and comes back under load, again and again; what clients see of it.

On the demo's cluster, with ModelRoutes of its own: each has a stand-in for vLLM that may scale to zero, and the demo's
hosted stand-in as its fallback. Every cycle begins at zero replicas and ends when the replica has answered a while.
Never talks to anything but the demo's cluster.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

from benchmarks import cluster, machine
from benchmarks.apply import Asking, applied

CYCLES, ROUTES = 50, 5
"""A backend is left alone for a minute before it goes to zero: several are measured side by side."""
PORT = 30081
WARM_ANSWERS = 50
"""So many answers of the replica end a cycle."""
PATIENCE = 120
BODY = b'{"model":"%s","max_tokens":8,"messages":[{"role":"user","content":"What is a router?"}]}'


class Cycle(NamedTuple):
    """One start from zero: seconds from the first request to the replica's first answer, and who answered how many."""

    seconds: float
    answered: Counter[str]
    slowest: float


def manifest(number: int, policy: str) -> dict[str, Any]:
    """One of the routes, which goes to zero as soon as a backend may."""
    vllm = {
        "model": "stand-in/small",
        "image": "modelroute/vllm-standin:dev",
        "args": ["--standin-first-token=20ms", "--standin-inter-token=2ms", "--standin-startup-delay=1s"],
        "gpus": 0,
        "drainTimeout": "5s",
    }
    scaling = {
        "minReplicas": 0,
        "maxReplicas": 1,
        "targetInFlight": 100,
        "idle": {"after": "1s", "action": "ScaleToZero"},
        "scaleDown": {"stabilization": "1s", "drainTimeout": "5s"},
    }
    cold = {"policy": policy, "maxWait": "60s", "maxHeld": 2000}
    hosted = {"baseURL": "http://openai-standin.demo.svc:8000/v1", "apiKeySecretRef": {"name": "hosted-api"}}
    return {
        "apiVersion": "modelroute.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name(number), "namespace": cluster.NAMESPACE},
        "spec": {
            "backends": [
                {"name": "small", "vllm": vllm, "scaling": scaling, "coldStart": cold},
                {"name": "big", "weight": 0, "model": "big", "external": hosted},
            ],
            "fallbacks": [{"backend": "big"}],
            "router": {"service": {"type": "NodePort", "nodePort": PORT + number}},
        },
    }


def name(number: int) -> str:
    """Of a route."""
    return f"cold-{number}"


def replicas(number: int) -> int:
    """Pods of the backend that are there, ending ones too."""
    selector = f"modelroute.dev/route={name(number)},modelroute.dev/backend=small"
    return len(cluster.asked("-n", cluster.NAMESPACE, "get", "pods", "-l", selector, "-o", "name").split())


async def until(what: str, holds: Any) -> None:
    """Wait, or say what did not come."""
    limit = time.perf_counter() + PATIENCE
    while not await asyncio.to_thread(holds):
        if time.perf_counter() > limit:
            raise cluster.NoDemoError(f"not within {PATIENCE} s: {what}")
        await asyncio.sleep(0.2)


async def cycle(number: int, asking: Asking) -> Cycle:
    """From zero to a replica that answers; the load stops then."""
    await until("no replica is left", lambda: replicas(number) == 0)
    before, began = len(asking.answers), time.perf_counter()
    load = asyncio.create_task(asking.go_on())
    try:
        while len(warm := [a for a in asking.answers[before:] if a.backend == "small"]) <= WARM_ANSWERS:
            if time.perf_counter() > began + PATIENCE:
                problems = asking.failed[-3:]
                raise cluster.NoDemoError(f"no replica answered within {PATIENCE} s; last problems: {problems}")
            await asyncio.sleep(0.05)
    finally:
        load.cancel()
        await asking.last_ones()
    answers = asking.answers[before:]
    first = min(a.sent + a.took for a in warm) - began
    return Cycle(first, Counter(a.backend for a in answers), max(a.took for a in answers))


async def on_a_route(number: int, policy: str, cycles: int) -> tuple[list[Cycle], list[str]]:
    """Its cycles, one after the other, and what failed; the route is taken away at the end."""
    asking = Asking(("127.0.0.1", PORT + number), BODY % name(number).encode(), patience=90)
    await applied(manifest(number, policy))
    try:
        where = (
            "-n",
            cluster.NAMESPACE,
            "get",
            "mroute",
            name(number),
            "-o",
            "jsonpath={.status.router.readyReplicas}",
        )
        await until("the routers are ready", lambda: cluster.asked(*where) == "2")
        await asyncio.sleep(2)  # kube-proxy
        found = []
        for turn in range(cycles):
            found.append(await cycle(number, asking))
            told = f"{found[-1].seconds:5.2f} s, {dict(found[-1].answered)}, {len(asking.failed)} failed so far"
            print(f"{name(number)} {turn + 1:2} of {cycles}: {told}", file=sys.stderr)
        return found, asking.failed
    finally:
        await asyncio.to_thread(cluster.asked, "-n", cluster.NAMESPACE, "delete", "mroute", name(number))


async def measure(policy: str, cycles: int) -> tuple[list[Cycle], list[str]]:
    """All cycles, on all routes, and what failed."""
    share = [cycles // ROUTES + (number < cycles % ROUTES) for number in range(ROUTES)]
    runs = [on_a_route(number, policy, count) for number, count in enumerate(share) if count]
    found = await asyncio.gather(*runs)
    return [one for cycles, _ in found for one in cycles], [problem for _, failed in found for problem in failed]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="./dev bench coldstart", description=__doc__)
    parser.add_argument("--cycles", type=int, default=CYCLES, metavar="N", help=f"starts from zero (default {CYCLES})")
    policies = ("Hold", "HoldThenFallback", "Fallback")
    parser.add_argument("--policy", choices=policies, default="HoldThenFallback", help="what becomes of requests")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    facts = machine.facts()
    try:
        cluster.require_ready_route()
        cycles, failed = asyncio.run(measure(args.policy, args.cycles))
    except cluster.NoDemoError as error:
        sys.exit(f"error: {error}")
    print(machine.described(facts))
    seconds = [one.seconds for one in cycles]
    middle, worst = statistics.median(seconds), max(seconds)
    answered = dict(sum((one.answered for one in cycles), Counter[str]()))
    print(f"{args.policy}: first answer of a replica after median {middle:.2f} s, worst {worst:.2f} s")
    print(f"{len(cycles)} starts from zero, {sum(answered.values())} answers {answered}, {len(failed)} failed")
    report = {
        "policy": args.policy,
        "cycles": len(cycles),
        "first_answer_median_s": round(middle, 2),
        "first_answer_worst_s": round(worst, 2),
        "slowest_request_s": round(max(one.slowest for one in cycles), 2),
        "answered": answered,
        "failed": len(failed),
        "machine": facts,
    }
    if args.json:
        print(json.dumps(report))
    if failed:
        sys.exit("error: requests failed, such as\n" + "\n".join(failed[:3]))


if __name__ == "__main__":
    main()
