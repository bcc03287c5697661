"""Who hears how a try of a backend went: told by ``attempt``, heard by ``exchange``. Nothing here acts."""

from typing import Protocol

from modelroute.api.types import FailureKind
from modelroute.router.flow.answer import Answer
from modelroute.router.flow.delivery import Delivery
from modelroute.router.replicas.endpoints import Endpoint
from modelroute.router.surface import openai


class Owner(Protocol):
    """Who hears how a try went: of just one of failed, held, ended and broken, the last two after an answer began."""

    out: Delivery

    def failed(self, kind: FailureKind, *, free: bool, again: bool = True) -> None:
        """The client has seen nothing of it. ``free``: the backend has not even begun with it.

        ``again``: the same may go better in a while.
        """

    def held(self, answer: Answer, endpoint: Endpoint) -> None:
        """All of an answer is here, and nothing of it is sent."""

    def ended(self, answer: Answer) -> None:
        """All that was passed on was whole."""

    def broken(self, answer: Answer, kind: str, refusal: openai.Refusal) -> None:
        """What has begun cannot go on."""
