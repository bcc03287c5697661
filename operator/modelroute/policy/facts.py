"""What a decision may know: of the request, and of the moment. Made by the router; never changed by a step."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from modelroute.api.types import FailureKind


class Facts(Struct, frozen=True, gc=False):
    """One request.

    ``text`` is what the user wrote: the contents of all user messages, or the prompt, or the input. All messages, not
    only the last, so that a conversation does not fall back to another model at its next short question.
    ``everything`` is all text of the request, whoever wrote it: what a rule that keeps it away looks at. ``unseen``: a
    part of it is no text that could be looked at.
    """

    model: str
    text: str = ""
    user: str | None = None
    tier: str | None = None
    headers: Mapping[str, str] = {}  # names in lower case
    everything: str = ""
    unseen: bool = False


class Trouble(NamedTuple):
    """Why a backend cannot take a request now, and the moment in which that is expected to be over; inf: unknown.

    Of a cold start that moment may be past: it is late then, not over.
    """

    kind: FailureKind
    until: float = math.inf


class Moment(Struct, frozen=True, gc=False):
    """What is known of the backends: those in trouble, by name, and the time on the clock of ``Trouble.until``.

    A backend without endpoints is in trouble whether it is named or not. ``patience`` is the seconds in which the first
    token is of use to the client.
    """

    troubles: Mapping[str, Trouble] = {}
    now: float = 0.0
    patience: float = math.inf


QUIET = Moment()
