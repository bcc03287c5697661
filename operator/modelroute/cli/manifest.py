"""Reads a ModelRoute manifest from a file and makes the snapshot that a router without a cluster runs.

Called by ``serve``, again each time the file changes. Never looks at a cluster.
"""

import yaml

from modelroute.api.parse import parse
from modelroute.api.types import KIND, ModelRoute
from modelroute.errors import InvalidManifestError
from modelroute.planning.routing.snapshot import snapshot_of
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import Snapshot


def snapshot_from_manifest(data: bytes) -> Snapshot:
    """The snapshot of the ModelRoute in ``data``, YAML of one or more documents.

    Raises InvalidManifestError when there is not just one ModelRoute, when it is wrong, or when it has backends that
    only a cluster can run.
    """
    try:
        documents = [d for d in yaml.safe_load_all(data) if isinstance(d, dict)]
    except yaml.YAMLError as error:
        raise InvalidManifestError("manifest", f"is not YAML: {error}") from None
    found = [d for d in documents if d.get("kind") == KIND]
    if len(found) != 1:
        raise InvalidManifestError("manifest", f"holds {len(found)} objects of kind {KIND}; expected one")
    route = parse(found[0], allow_loopback=True)
    _require_no_cluster(route)
    return decode(encode(snapshot_of(route, {}, loopback_allowed=True)))


def _require_no_cluster(route: ModelRoute) -> None:
    for i, backend in enumerate(route.spec.backends):
        if backend.external is None:
            kind = "vllm" if backend.vllm else "targetRef"
            raise InvalidManifestError(
                f"spec.backends[{i}].{kind}",
                "needs a cluster; without one every backend is external, such as {baseURL: http://127.0.0.1:9001/v1}",
            )
    if route.spec.router.tls:  # passed over, it would be plain http without a word
        raise InvalidManifestError(
            "spec.router.tls", "needs a cluster; without one leave it out and name the certificate's directory by --tls"
        )
