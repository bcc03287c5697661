"""What `./dev generate` writes is in the repository, to the byte."""

from pathlib import Path

import pytest

from crds.generate import ROOT, generated


@pytest.mark.parametrize(("path", "text"), generated().items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_files_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, f"{path.relative_to(ROOT)} is out of date; run ./dev generate"


def test_it_can_be_generated_again() -> None:
    assert generated() == generated()
