"""`./dev bench upgrade`: the version before is upgraded to this one and back under load; what clients and replicas see.

The demo of each version installs itself over the other, with the same example: a person who upgrades does the same.
Ends with this version. Needs the repository's history, in which the version before is found.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import cluster, machine
from benchmarks.apply import Asking
from benchmarks.coldstart import until

BEFORE = "1adf0c01ba49d912e9b2bfd418c1086091f54e5e"
"""The last revision of chart 0.1.0."""
ROOT = Path(__file__).resolve().parents[1]
REST = 10
"""Seconds of load before the first step, and after each."""
PATIENCE = 180
ROUTERS = ("-n", cluster.NAMESPACE, "get", "deployment", f"{cluster.ROUTE}-router", "-o")
IMAGE = "jsonpath={.spec.template.spec.containers[0].image}"


class Replica(NamedTuple):
    """A pod of the self-hosted backend, and how often it has been started."""

    name: str
    restarts: int


class Step(NamedTuple):
    """One version put over the other: requests that were answered and that failed meanwhile, the replicas after it."""

    what: str
    answered: Counter[str]
    failed: list[str]
    replicas: list[Replica]


def tree(revision: str) -> Path:
    """The files of ``revision``, kept beside the cluster. NoDemoError where the history lacks it."""
    made = cluster.CLUSTER_DIR / "versions" / revision
    if not (made / "dev").exists():
        made.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["git", "-C", ROOT, "archive", revision], check=False, capture_output=True)
        if packed.returncode:
            raise cluster.NoDemoError(f"git does not find {revision}: {packed.stderr.decode().strip()}")
        subprocess.run(["tar", "-x", "-C", made], input=packed.stdout, check=True)
    return made


async def demo(version: Path) -> None:
    """`./dev demo` of a version. NoDemoError with its last words when it fails."""
    pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    bare = {name: value for name, value in os.environ.items() if name not in {"KUBECONFIG", "VIRTUAL_ENV"}}
    process = await asyncio.create_subprocess_exec(version / "dev", "demo", stdout=pipe, stderr=both, env=bare)
    said, _ = await process.communicate()
    if process.returncode:
        raise cluster.NoDemoError(f"the demo of {version} fails:\n{said.decode()[-2000:]}")


def replicas() -> list[Replica]:
    """Those of the self-hosted backend, but for one that ends: the version before replaces what this one had made."""
    selector = f"modelroute.dev/route={cluster.ROUTE},modelroute.dev/backend=small"
    pods: list[Any] = json.loads(cluster.asked("-n", cluster.NAMESPACE, "get", "pods", "-l", selector, "-o", "json"))[
        "items"
    ]
    there = (p for p in pods if "deletionTimestamp" not in p["metadata"])
    counts = {p["metadata"]["name"]: p["status"].get("containerStatuses", ()) for p in there}
    return sorted(Replica(name, sum(one["restartCount"] for one in found)) for name, found in counts.items())


async def step(what: str, version: Path, asking: Asking) -> Step:
    """Put ``version`` over the other, until its routers are the only ones, and a while longer."""
    answers, failed = len(asking.answers), len(asking.failed)
    image = cluster.asked(*ROUTERS, IMAGE)
    await demo(version)
    await until(f"{what}: the routers are of the other version", lambda: cluster.asked(*ROUTERS, IMAGE) != image)
    rolled = ("rollout", "status", f"deployment/{cluster.ROUTE}-router", f"--timeout={PATIENCE}s")
    await asyncio.to_thread(cluster.asked, "-n", cluster.NAMESPACE, "--request-timeout=0", *rolled)
    await asyncio.sleep(REST)
    backends = Counter(one.backend for one in asking.answers[answers:])
    found = Step(what, backends, asking.failed[failed:], await asyncio.to_thread(replicas))
    print(f"{what}: {dict(found.answered)} answered, {len(found.failed)} failed", file=sys.stderr)
    return found


async def measure(before: Path) -> tuple[list[Replica], list[Step]]:
    """The replicas as the version before made them, and all steps."""
    await demo(before)
    made, asking = replicas(), Asking()
    load = asyncio.create_task(asking.go_on())
    await asyncio.sleep(REST)
    steps = [await step("upgrade", ROOT, asking), await step("downgrade", before, asking)]
    steps.append(await step("upgrade again", ROOT, asking))
    load.cancel()
    await asking.last_ones()
    return made, steps


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="./dev bench upgrade", description=__doc__)
    parser.add_argument("--before", default=BEFORE, metavar="REVISION", help="the version before (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    facts = machine.facts()
    try:
        made, steps = asyncio.run(measure(tree(args.before)))
    except cluster.NoDemoError as error:
        sys.exit(f"error: {error}")
    print(machine.described(facts))
    for one in steps:
        same = "the same replicas" if one.replicas == made else f"other replicas: {made} became {one.replicas}"
        print(f"{one.what}: {sum(one.answered.values())} answered, {len(one.failed)} failed, {same}")
    if args.json:
        report = {one.what: {"answered": one.answered, "failed": len(one.failed)} for one in steps}
        print(json.dumps({**report, "restarted": any(s.replicas != made for s in steps), "machine": facts}))
    if problems := [problem for one in steps for problem in one.failed]:
        sys.exit("error: requests failed, such as\n" + "\n".join(problems[:3]))
    if any(one.replicas != made for one in steps):
        sys.exit("error: replicas were restarted or replaced")


if __name__ == "__main__":
    main()
