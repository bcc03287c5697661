"""The value of a Kubernetes quantity, for comparing two ways to write it.

Used by ``drift``, ``pods`` and the claim of a model cache. Never makes one: what the manifest says is passed on.
"""

import math
import re
from fractions import Fraction

_SUFFIXES = {
    "": Fraction(1),
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("n", "u", "m"), start=-3)},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_FORM = re.compile(r"([0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE]([+-]?[0-9]{1,2})|([a-zA-Z]{0,2}))\Z")


def quantity(text: str) -> int:
    """``text`` in thousandths, rounded up as the API server does; ValueError when it is no quantity of 0 or more."""
    found = _FORM.match(text)
    if found is None or (found[3] or "") not in _SUFFIXES:
        raise ValueError(f'"{text}" is not a quantity')
    number, exponent, suffix = found.groups()
    scale = Fraction(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""]
    return math.ceil(Fraction(number if number[0] != "." else f"0{number}") * scale * 1000)


def same(one: str, other: str) -> bool:
    """Whether both are the same amount; text that is no quantity is the same as itself alone."""
    try:
        return quantity(one) == quantity(other)
    except ValueError:
        return one == other
