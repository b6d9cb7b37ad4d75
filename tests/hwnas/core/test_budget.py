"""Limits as users write them."""

import pytest

from hwnas.core.budget import Budget, feasible
from targets.errors import UsageError


@pytest.mark.parametrize("text", ["latency_ms<=12", "latency_ms=12", " latency_ms <= 12.0 ", "latency_ms≤12"])
def test_one_limit_in_many_spellings(text: str) -> None:
    assert Budget.parse(text) == Budget("latency_ms", 12.0)
    assert str(Budget.parse(text)) == "latency_ms<=12"


@pytest.mark.parametrize(
    "text", ["latency_ms<12", "latency_ms==12", "12", "latency_ms>=12", "latency_ms<=x", ""]
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(UsageError, match="must read METRIC<=NUMBER"):
        Budget.parse(text)


def test_a_limit_is_met_at_its_value() -> None:
    limits = [Budget("latency_ms", 10.0), Budget("size_mb", 4.0)]
    assert feasible(limits, {"latency_ms": 10.0, "size_mb": 4.0})
    assert not feasible(limits, {"latency_ms": 10.1, "size_mb": 1.0})
    assert Budget("latency_ms", 10.0).violation({"latency_ms": 11.0}) == pytest.approx(0.1)
