"""A request to the Kubernetes API as a value, and the error that comes of one; sent by ``cluster``.

Used by all of this room that tells errors apart. Never sends anything, and holds no answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelroute.controller.kube.kinds import Kind
from modelroute.errors import ModelRouteError

MERGE, APPLY, JSON_PATCH = "application/merge-patch+json", "application/apply-patch+yaml", "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete"]
METHODS: Mapping[Verb, str] = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
READS = frozenset({"get", "list"})
FORBIDDEN, NOT_FOUND, CONFLICT, GONE, INVALID, TOO_MANY = 403, 404, 409, 410, 422, 429


class ApiError(ModelRouteError):
    """A request that the API server did not carry out. ``status`` is 0 where it was not reached."""

    def __init__(
        self, call: "Call", status: int, message: str, *, retry_after: float = 0, ending: bool = False
    ) -> None:
        """``retry_after`` is in seconds; ``ending`` says that the namespace is being deleted."""
        super().__init__(f"cannot {call.verb} {call.target}: {message}")
        self.verb, self.target = call.verb, call.target
        self.status = status
        self.retry_after = retry_after
        self.ending = ending

    @property
    def taken(self) -> bool:
        """Whether something stands already where something new was to be, or has changed meanwhile."""
        return self.status == CONFLICT

    @property
    def contradicts(self) -> bool:
        """Whether what was sent and what is there do not go together."""
        return self.status == INVALID

    @property
    def troubled(self) -> bool:
        """Whether it is the API server that is in trouble, or out of reach, and not the request that is wrong."""
        return self.status in (0, 408, TOO_MANY) or self.status >= 500

    @property
    def lasting(self) -> bool:
        """Whether it is refused for what it is, so that a person has to act; else trying again may do."""
        return 400 <= self.status < 500 and self.status not in (401, 408, CONFLICT, TOO_MANY) and not self.ending


class NotLeadingError(ApiError):
    """A write that was not made, or given up on its way, since this operator does not lead, or no longer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    verb: Verb
    kind: Kind
    namespace: str | None
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"

    @property
    def target(self) -> str:
        """What it is about, for people."""
        return "/".join(part for part in (self.kind.name, self.name, self.subresource) if part)
