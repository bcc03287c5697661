"""`./dev bench steady`: what is written to the API server in a minute in which nothing changes, on the demo's cluster.

Two counts: all writers', from the API server's metrics, and the operator's own, from the audit log of the cluster that
`cluster/up.sh` makes. Changes nothing. Wait some minutes after the demo: its last Events and statuses are writes, too.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks import cluster, machine

SECONDS = 60
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION"})
AUDITED_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
HEARTBEATS = frozenset({"leases", "events"})
"""Renewed or reported by the cluster's own components all the time; in the metrics nobody can tell whose they are."""
NOT_STORED = frozenset({"subjectaccessreviews", "selfsubjectaccessreviews", "tokenreviews", "serviceaccounts/token"})
"""Questions that are put as a POST; nothing is kept."""

_SERIES = re.compile(r"^apiserver_request_total\{(?P<labels>.*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def writes(metrics: str) -> Counter[str]:
    """Writes so far by "VERB resource[/subresource]", from the text of the API server's /metrics."""
    found: Counter[str] = Counter()
    for series in _SERIES.finditer(metrics):
        labels = dict(_LABEL.findall(series["labels"]))
        if labels["verb"] in WRITES:
            resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            found[f"{labels['verb']} {resource}"] += int(float(series["value"]))
    return found


def counted(write: str) -> bool:
    """Whether a write, "VERB resource[/subresource]", changes what the cluster is told to be or says it is."""
    resource = write.split()[1]
    return resource not in NOT_STORED and resource.split("/")[0] not in HEARTBEATS


def _service_accounts(namespace: str) -> str:
    """What the user names of a namespace's service accounts begin with."""
    return f"system:serviceaccount:{namespace}:"


def audited(lines: Iterable[str], namespace: str) -> Counter[str]:
    """Writes by service accounts of ``namespace``, by "verb resource[/subresource]", from lines of an audit log."""
    found: Counter[str] = Counter()
    for line in lines:
        event = json.loads(line)
        mine = event["user"].get("username", "").startswith(_service_accounts(namespace))
        if mine and event["verb"] in AUDITED_WRITES:
            target = event.get("objectRef", {})
            resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
            found[f"{event['verb']} {resource}"] += 1
    return found


class AuditLog:
    """What is added to an audit log from now on."""

    def __init__(self, path: Path) -> None:
        """Remember where ``path`` ends now."""
        self._path = path
        self._start = path.stat()

    def knows(self, namespace: str) -> bool:
        """Whether a service account of ``namespace`` is in the log at all: else none of its writes could be seen."""
        user = f'"username":"{_service_accounts(namespace)}'
        with self._path.open() as log:
            return any(user in line for line in log)

    def added(self) -> list[str]:
        """The lines since then. NoDemoError when a new file was begun meanwhile."""
        with self._path.open("rb") as log:
            if self._path.stat().st_ino != self._start.st_ino:
                raise cluster.NoDemoError("the audit log was rotated meanwhile; run this again")
            log.seek(self._start.st_size)
            return [line.decode() for line in log if line.endswith(b"\n")]


def listed(title: str, found: Mapping[str, int]) -> str:
    """A title with the total, then one line for each kind of write."""
    lines = [f"  {number:5}  {write}" for write, number in sorted(found.items(), key=lambda item: -item[1])]
    return "\n".join([f"{title}: {sum(found.values())}", *lines])


def measured() -> tuple[Counter[str], Counter[str] | None]:
    """All writes of ``SECONDS`` seconds, and the operator's among them where they can be known.

    Raises NoDemoError when the demo does not run.
    """
    cluster.require_ready_route()
    path = cluster.audit_log()
    log = AuditLog(path) if path else None
    if log and not log.knows(cluster.OPERATOR_NAMESPACE):
        raise cluster.NoDemoError(f"{path} knows no request of the operator; does it run? `./dev demo` starts it")
    before = writes(cluster.asked("get", "--raw", "/metrics"))
    print(f"counting for {SECONDS} s", file=sys.stderr)
    time.sleep(SECONDS)
    everyone = writes(cluster.asked("get", "--raw", "/metrics")) - before
    return everyone, audited(log.added(), cluster.OPERATOR_NAMESPACE) if log else None


def main() -> None:
    """Parse the command line, count, print."""
    parser = argparse.ArgumentParser(prog="./dev bench steady", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    facts = machine.facts()
    try:
        everyone, operator = measured()
    except cluster.NoDemoError as error:
        sys.exit(f"error: {error}")
    kept = {write: number for write, number in everyone.items() if counted(write)}
    left_out = {write: number for write, number in everyone.items() if not counted(write)}
    print(machine.described(facts))
    print(listed(f"writes to the API server in {SECONDS} s, by all", kept))
    print(listed("left out (leases, Events, questions put as a POST)", left_out))
    if operator is None:
        print("writes by the operator: unknown, since this cluster's audit log is not here")
    else:
        print(listed("writes by the operator", operator))
    if args.json:
        result = {"seconds": SECONDS, "all": kept, "left_out": left_out, "total": sum(kept.values())}
        own = {"operator": operator, "operator_total": None if operator is None else operator.total()}
        print(json.dumps(result | own | {"machine": facts}))


if __name__ == "__main__":
    main()
