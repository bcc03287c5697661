"""What a decision may know of a request. Made by the router from headers and body; never changed by a step."""

from collections.abc import Mapping

from msgspec import Struct


class Facts(Struct, frozen=True, gc=False):
    """One request.

    ``text`` is what the user wrote: the contents of all user messages, or the prompt, or the input. All messages, not
    only the last, so that a conversation does not fall back to another model at its next short question.
    """

    model: str
    text: str = ""
    user: str | None = None
    tier: str | None = None
    headers: Mapping[str, str] = {}  # names in lower case
