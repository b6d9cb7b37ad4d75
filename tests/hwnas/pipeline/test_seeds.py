"""What a search of the front begins with, on a space whose costs are made up."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from hwnas.core.budget import Budget
from hwnas.core.choice import Arch
from hwnas.pipeline.main_job.run_context import RunContext
from hwnas.pipeline.main_job.seeds import plain_networks


def context_of(latency_ms: Mapping[Arch, float], *budgets: str) -> RunContext:
    """A run whose space has these plain networks."""

    def costs_of(archs: Sequence[Arch]) -> list[dict[str, float]]:
        return [{"latency_ms": latency_ms[arch], "macs": 100 * arch[0]} for arch in archs]

    context = SimpleNamespace(
        space=SimpleNamespace(plain=lambda: list(latency_ms)),
        costs_of=costs_of,
        search_budgets=[Budget.parse(b) for b in budgets],
        burden=lambda costs: costs["latency_ms"],
    )
    return cast(RunContext, context)


POWERS: dict[Arch, float] = {(n,): 2.0**n for n in range(9)}


@pytest.mark.parametrize(
    ("n", "budgets", "chosen"),
    [
        (1, (), [8]),
        (2, (), [8, 4]),
        (4, (), [8, 6, 4, 2]),
        (2, ("latency_ms<=64",), [6, 3]),
        (2, ("latency_ms<=64", "macs<=400"), [4, 2]),
        (20, ("latency_ms<=4",), [2, 1, 0]),
        (2, ("latency_ms<=0.5",), []),
        (0, (), []),
    ],
)
def test_they_are_inside_the_budgets_and_spread_from_the_slowest_on(
    n: int, budgets: tuple[str, ...], chosen: list[int]
) -> None:
    """Latencies are powers of two, so that even steps of the logarithm are steps of the number."""
    found = plain_networks(context_of(POWERS, *budgets), n)
    assert [arch[0] for arch in found] == chosen


def test_a_space_without_plain_networks_gives_none() -> None:
    assert plain_networks(context_of({}), 3) == []
