"""A route that only holders of a key are let into."""

import json
from typing import Any

from modelroute.snapshot.types import Auth, Backend
from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import Reply, chat
from tests.fakes.upstream import Upstream

AUTH = Auth("auth/keys.yaml", "auth/pepper")
KEY, OTHER = "mr-planted-0123456789", "mr-other-9876543210"
BEARER = {"authorization": f"Bearer {KEY}"}
BODY = chat()


def keys(plane: Plane, **fields: Any) -> None:
    """The file of two keys; ``fields`` are those of the first."""
    plane.secret("auth/pepper", "pepper-pepper-pepper")
    plane.secret("auth/keys.yaml", json.dumps([{"name": "app", "key": KEY, **fields}, {"name": "other", "key": OTHER}]))


async def locked(plane: Plane, *backends: Backend, **more: Any) -> None:
    await plane.route(*backends, auth=AUTH, **more)


async def opened(plane: Plane, *, scripts: Any = (), **fields: Any) -> Upstream:
    """A route with one backend, for those with a key."""
    up = await plane.upstream(*scripts)
    keys(plane, **fields)
    await locked(plane, backend("small", up, weight=1))
    return up


async def get(plane: Plane, path: str, headers: dict[str, str]) -> Reply:
    return await plane.ask("GET", path, b"", admin=False, **headers)
