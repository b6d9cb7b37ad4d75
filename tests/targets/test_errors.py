"""What a message shows of what it was given."""

from __future__ import annotations

import pytest

from targets.errors import HwnasError, UsageError


@pytest.mark.parametrize("junk", ["9" * 5000, "[" * 3000, "\\x00" * 900])
def test_of_a_word_that_nobody_reads_the_beginning_is_shown(junk: str) -> None:
    said = str(UsageError(f"s.toml: width is {junk}; allowed: 1 to 9"))
    assert said == f"s.toml: width is {junk[:200]}… allowed: 1 to 9"


def test_what_can_be_read_is_shown_whole() -> None:
    text = "known: " + ", ".join(["max_pool_3x3"] * 200) + " " + "a" * 599
    assert str(HwnasError(text)) == text
