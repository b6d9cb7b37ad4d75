"""Numbers and markup as the reader sees them."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from hwnas.report.markup import Html, count, el, fixed, join, ms, percent, percent_interval, table


def test_text_is_escaped_and_markup_is_not() -> None:
    assert el("p", "<b>", el("i", "&")) == "<p>&lt;b&gt;<i>&amp;</i></p>"
    assert (
        el("a", href='"><script>', class_="x", data_y=None)
        == '<a href="&quot;&gt;&lt;script&gt;" class="x"></a>'
    )
    assert join(None, ["<", Html("<hr>"), [None, ">"]]) == "&lt;<hr>&gt;"
    assert el("meta", name="viewport") == '<meta name="viewport">'


def test_first_column_of_a_table_names_the_row() -> None:
    drawn = table(("", "x"), [("<a>", "1")])
    assert '<th scope="row">&lt;a&gt;</th><td>1</td>' in drawn


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "0.0123"), (0.6123, "0.612"), (1.005, "1.00"), (12.34, "12.3"), (123.4, "123"),
        (9876.5, "9876"), (0.000_04, "0.0000"), (0.0, "0.00"), (None, "–"), (math.nan, "–"),
    ],
)  # fmt: skip
def test_milliseconds_have_three_digits(value: float | None, text: str) -> None:
    assert ms(value, unit=False) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4_920_000, "4.92\xa0M"),
        (999_600, "1.00\xa0M"),
        (99_960, "100\xa0k"),
        (12_340, "12.3\xa0k"),
        (999_400, "999\xa0k"),
        (12, "12"),
        (0, "0"),
        (None, "–"),
    ],
)
def test_counts_have_three_digits(value: float | None, text: str) -> None:
    assert count(value) == text


def test_shares_are_percentages_and_units_do_not_wrap() -> None:
    assert percent(0.9833) == "98.3\xa0%"
    assert percent(None) == fixed(math.inf, 1) == "–"


@pytest.mark.parametrize(("right", "n"), [(354, 360), (0, 10), (10, 10), (1, 3)])
def test_interval_agrees_with_scipy(right: int, n: int) -> None:
    low, high = binomtest(right, n).proportion_ci(method="wilson")
    assert percent_interval(right / n, n) == f"{100 * low:.1f} to {100 * high:.1f}\xa0%"
