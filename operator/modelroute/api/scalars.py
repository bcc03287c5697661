"""The scalars of the ModelRoute API: durations, decimals, quantities, names, URLs.

Used by ``types`` (shape and CEL), ``parse`` (sentences for people) and ``planning`` (values). Never reads a manifest.
Each is a string in the manifest, as Kubernetes has it; the functions here turn a checked string into a value.
"""

import json
import re
from typing import Annotated

from msgspec import Meta

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
DECIMAL = r"^[0-9]{1,6}([.][0-9]{1,6})?$"
QUANTITY = r"^[0-9]+([.][0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
LABEL = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
OBJECT_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
DATA_KEY = r"^[A-Za-z0-9._-]+$"
HEADER = r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$"
CLOCK_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
CRON = r"^[0-9*/,A-Za-z-]+( [0-9*/,A-Za-z-]+){4}$"
TIME_ZONE = r"^[A-Za-z][A-Za-z0-9_+/-]*$"
RESOURCE = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
LABEL_KEY = r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"
ADAPTER = r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$"
WEIGHTS = r"^[A-Za-z0-9/._~][A-Za-z0-9/._~@:-]*$"
PROBE_PATH = r"^(/[A-Za-z0-9._~%/-]*)?$"
_HOST_PART = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
BASE_URL = rf"^https?://{_HOST_PART}([.]{_HOST_PART})*[.]?(:{_PORT})?(/[A-Za-z0-9._~/-]*)?$"

# What a person reads when a string does not fit its pattern; the CRD says the same by CEL.
SENTENCES = {
    DURATION: 'is not a duration with a unit; write "5s", "500ms" or "1m30s"',
    DECIMAL: 'is not a decimal number; write it as a string such as "0.7"',
    QUANTITY: 'is not a quantity; write a Kubernetes quantity such as "2Gi" or "500m"',
    LABEL: "is not a name; use lower-case letters, digits and single '-' between them, beginning with a letter",
    OBJECT_NAME: "is not the name of a Kubernetes object; use lower-case letters, digits, '-' and '.'",
    DATA_KEY: "is not a key of a Secret; use letters, digits, '-', '_' and '.'",
    HEADER: "is not an HTTP header name",
    RESOURCE: 'is not the name of a resource of nodes; write one such as "nvidia.com/gpu"',
    LABEL_KEY: "is not the key of a label; use letters, digits, '-', '_' and '.', after a domain and '/' if it has one",
    LABEL_VALUE: "is not the value of a label; use letters, digits, '-', '_' and '.', 63 at most",
    ADAPTER: "is not a model's name; use letters, digits, '-', '_', '.', ':' and '/', beginning with a letter or digit",
    WEIGHTS: "is not a name on the hub or a path; use letters, digits, '-', '_', '.', '@', ':', '~' and '/'",
    PROBE_PATH: 'is not a path; write one that begins with "/", such as /health, or "" for none',
    CLOCK_TIME: 'is not a time of day; write "07:30"',
    CRON: 'is not a cron expression; write five fields such as "45 7 * * 1-5"',
    TIME_ZONE: 'is not the name of a time zone; write one such as "Europe/Berlin"',
    BASE_URL: "is not a base URL; write https://HOST[:PORT][/PATH], without user, query or fragment",
}


_UNSHOWN = (BASE_URL,)  # a URL may hold a password


def refusal(pattern: str, value: object) -> str:
    """Why ``value`` is refused, for a person; ``pattern`` is a key of ``SENTENCES``."""
    return f"{'this' if pattern in _UNSHOWN else json.dumps(value, ensure_ascii=False)} {SENTENCES[pattern]}"


def whole(pattern: str) -> str:
    r"""``pattern`` for Python, whose ``$`` also matches before a last newline; the API server's RE2 has no ``\Z``."""
    return pattern.removesuffix("$") + r"\Z"


def _checked(pattern: str, max_length: int) -> Meta:
    """A pattern whose refusal by the API server is a sentence rather than a regular expression."""
    sentence = SENTENCES[pattern].replace('"', '\\"')
    rule = {"rule": f'self.matches(r"{pattern}")', "message": f"this {SENTENCES[pattern]}"}
    if pattern not in _UNSHOWN:
        rule["messageExpression"] = f'"\\"" + self + "\\" {sentence}"'
    return Meta(pattern=whole(pattern), max_length=max_length, extra_json_schema={"x-kubernetes-validations": [rule]})


Duration = Annotated[str, _checked(DURATION, 32)]
Decimal = Annotated[str, _checked(DECIMAL, 16)]
Quantity = Annotated[str, _checked(QUANTITY, 32)]
Name = Annotated[str, _checked(LABEL, 20)]
ObjectName = Annotated[str, _checked(OBJECT_NAME, 253)]
DataKey = Annotated[str, _checked(DATA_KEY, 253)]
HeaderName = Annotated[str, _checked(HEADER, 64)]
ResourceName = Annotated[str, _checked(RESOURCE, 253)]
LabelKey = Annotated[str, _checked(LABEL_KEY, 316)]
LabelValue = Annotated[str, _checked(LABEL_VALUE, 63)]
AdapterName = Annotated[str, _checked(ADAPTER, 253)]
AdapterSource = Annotated[str, _checked(WEIGHTS, 512)]
ProbePath = Annotated[str, _checked(PROBE_PATH, 256)]
ClockTime = Annotated[str, _checked(CLOCK_TIME, 5)]
Cron = Annotated[str, _checked(CRON, 128)]
TimeZone = Annotated[str, _checked(TIME_ZONE, 64)]
BaseURL = Annotated[str, _checked(BASE_URL, 256)]


def seconds(duration: str) -> float:
    """Seconds in a Gateway API duration such as ``1m30s``; the string has been checked against ``DURATION``."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))
