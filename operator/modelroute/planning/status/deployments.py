"""What is wrong with a Deployment, by its own conditions and by its pods, in a sentence a person can act on.

Called by the rooms that tell of the router and of backends.
"""

import re

from modelroute.planning.observed import Observed

_POD = re.compile(r'pods "[^"]*" is')
"""A pod that was refused, such as by a quota: each try has another name."""


def trouble(name: str, observed: Observed) -> str:
    """What is wrong with the Deployment ``name``, by its own conditions and by its pods; empty when nothing."""
    live = observed.child("Deployment", name)
    found = {c["type"]: c for c in ((live or {}).get("status") or {}).get("conditions") or ()}
    failure, progress = found.get("ReplicaFailure"), found.get("Progressing")
    if failure and failure["status"] == "True":
        return f"{failure.get('reason')}: {_POD.sub('pods are', failure.get('message') or '')}"
    if name in observed.troubles:
        return observed.troubles[name]
    if progress and progress["status"] == "False":
        return f"{progress.get('reason')}: {progress.get('message')}; see its pods for why"
    return ""
