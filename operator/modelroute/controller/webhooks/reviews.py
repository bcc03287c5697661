"""AdmissionReview v1 as bytes, read and answered. What is read is anybody's: a wrong one is an error, never a crash.

Used by ``server`` and ``admission``. Never looks anything up.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from modelroute.errors import ModelRouteError

_VERSION = "admission.k8s.io/v1"
_DECIDES_FOR = {403: "Forbidden", 422: "Invalid", 504: "Timeout"}


class BadReviewError(ModelRouteError):
    """What came is no AdmissionReview, or not one for this path."""


class GroupKind(msgspec.Struct, frozen=True):
    """What kind the object is of."""

    kind: str
    group: str = ""
    version: str = ""


class User(msgspec.Struct, frozen=True):
    """Who asks the API server."""

    username: str = ""
    uid: str = ""
    groups: Sequence[str] | None = None
    extra: Mapping[str, Sequence[str]] | None = None


class Ask(msgspec.Struct, frozen=True, rename="camel"):
    """The request in a review."""

    uid: str
    kind: GroupKind
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    namespace: str = ""
    user_info: User = User()
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: Ask


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. ``code`` is an HTTP status: 200 lets it pass; ``patch`` is JSON Patch."""

    code: int = 200
    message: str = ""
    warnings: tuple[str, ...] = ()
    patch: tuple[dict[str, Any], ...] = ()


def decode(body: bytes, kind: str) -> Ask:
    """The request in ``body``, about an object of ``kind``; BadReviewError where it is none."""
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadReviewError(f"this is not an AdmissionReview: {error}") from None
    if (review.api_version, review.kind) != (_VERSION, "AdmissionReview"):
        raise BadReviewError(f"this is not an AdmissionReview of {_VERSION}")
    if review.request.kind.kind != kind or review.request.object is None:
        raise BadReviewError(f"this review has no object of kind {kind}")
    return review.request


def encode(ask: Ask, verdict: Verdict) -> bytes:
    """The answer to ``ask``."""
    response: dict[str, Any] = {"uid": ask.uid, "allowed": verdict.code == 200}
    if verdict.code != 200:
        reason = _DECIDES_FOR.get(verdict.code, "")
        response["status"] = {"code": verdict.code, "reason": reason, "message": verdict.message}
    if verdict.warnings:
        response["warnings"] = verdict.warnings
    if verdict.patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(msgspec.json.encode(verdict.patch)).decode()}
    return msgspec.json.encode({"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response})
