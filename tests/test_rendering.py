"""Numbers as text for people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import imine
from imine.rendering import percent


@pytest.mark.parametrize("whole", range(1, 100))
def test_whole_per_cents_have_no_digits_more(whole: int) -> None:
    assert percent(whole / 100) == f"{whole}%"


def test_a_level_is_nowhere_rounded_to_whole_per_cent() -> None:
    """At 0.999 that would read as an interval of 100 %."""
    sources = Path(imine.__file__).parent.rglob("*.py")
    found = [path.name for path in sources if re.search(r"level:\.\d+%", path.read_text(encoding="utf-8"))]
    assert found == []
