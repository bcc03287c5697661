"""The operator, which dies without a word after so many writes: for what must hold whenever that happens."""

import itertools
import os
import sys
from typing import Any

from modelroute.cli.main import main
from modelroute.controller.kube.calls import Call
from modelroute.controller.kube.cluster import Cluster

DEATH = 137
_READS = ("get", "list")


def make_mortal(writes: int) -> None:
    """End this process when the API server has carried out so many writes; those of leadership do not count."""
    send, done = Cluster._send, itertools.count(1)

    async def counted(cluster: Cluster, call: Call) -> Any:
        answer = await send(cluster, call)
        if call.verb not in _READS and call.kind.name != "Lease" and next(done) == writes:
            os._exit(DEATH)
        return answer

    Cluster._send = counted  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    make_mortal(int(sys.argv.pop(1)))
    main()
