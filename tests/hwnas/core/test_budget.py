"""Limits as users write them."""

import pytest

from hwnas.core.budget import Budget, feasible, latency_metrics
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


@pytest.mark.parametrize("text", ["latency_ms@raspberry-pi-5<=12", "latency_ms@Raspberry Pi 5 <= 12"])
def test_a_limit_on_a_device_has_the_name_of_its_folder(text: str) -> None:
    assert Budget.parse(text) == Budget("latency_ms@raspberry-pi-5", 12.0)
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


def test_the_first_device_has_the_plain_metric_and_each_other_its_own() -> None:
    devices = ["host", "pi"]
    assert latency_metrics(devices) == ("latency_ms", "latency_ms@pi")
    budgets = ["latency_ms<=2", "latency_ms@host<=2", "latency_ms@pi<=12", "macs<=3"]
    assert [str(Budget.parse(b).on_devices(devices)) for b in budgets] == [
        "latency_ms<=2",
        "latency_ms<=2",
        "latency_ms@pi<=12",
        "macs<=3",
    ]


def test_a_limit_on_a_device_that_is_not_there_says_which_are() -> None:
    with pytest.raises(UsageError, match=r"'pie' is no device of this .*; known: host, pi \(did you mean"):
        Budget.parse("latency_ms@pie<=12").on_devices(["host", "pi"])


def test_only_the_latency_is_of_a_device() -> None:
    with pytest.raises(UsageError, match="macs is the same on all"):
        Budget.parse("macs@pi<=12")


def test_a_soft_budget_is_kept_to_the_end_of_its_margin_at_twice_the_error() -> None:
    soft = Budget.parse("latency_ms<=12~2")
    assert (soft.limit, soft.margin, soft.largest) == (12, 2, 14) and str(soft) == "latency_ms<=12~2"
    assert Budget.parse(str(soft)) == soft and Budget.parse("latency_ms = 12 ~ 2") == soft
    assert [soft.penalty(cost) for cost in (3, 12, 13, 14, 99)] == [1, 1, 1.5, 2, 2]
    assert [soft.violation({"latency_ms": cost}) <= 0 for cost in (12, 14, 14.1)] == [True, True, False]
    assert Budget.parse("latency_ms<=12").penalty(99) == 1


@pytest.mark.parametrize("text", ["latency_ms<=12~-1", "latency_ms<=12~nan", "latency_ms<=12~inf"])
def test_a_margin_is_a_finite_number_from_0(text: str) -> None:
    with pytest.raises(UsageError, match="margin after ~ must be a finite number from 0"):
        Budget.parse(text)


@pytest.mark.parametrize("text", ["latency_ms<=12~", "latency_ms<=~2", "latency_ms<=12~two", "latency_ms~2"])
def test_a_soft_budget_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="METRIC<=NUMBER~MARGIN"):
        Budget.parse(text)
