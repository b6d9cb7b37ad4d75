"""The widths for a budget: knapsacks around the last answer, then single groups for as long as one gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from targets.errors import InfeasibleError

from .knapsack import knapsack
from .latency import LatencyModel

ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a group may be. widths: the whole first. losses: what each adds, `sensitivity.added_loss`."""

    widths: Sequence[int]
    losses: Sequence[float]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Widths by group, the loss that they are expected to add, and their milliseconds."""

    widths: dict[str, int]
    added_loss: float
    latency_ms: float


def default_budget_ms(groups: Mapping[str, Choices], latency: LatencyModel) -> float:
    """Half of what the whole network takes; where hardly any is that fast, halfway to the narrowest.

    Of a small network most of the time is in calls of kernels, which fewer channels do not save.
    """
    whole_ms, narrowest_ms = latency.latency_ms({}), _cheapest_ms(groups, latency)
    return max(whole_ms / 2, (whole_ms + narrowest_ms) / 2 if narrowest_ms > _REACHED * whole_ms / 2 else 0.0)


_REACHED = 0.9
"""Of half of the latency: a narrowest network that takes more leaves no choice at half."""


def choose(groups: Mapping[str, Choices], latency: LatencyModel, budget_ms: float) -> Chosen:
    """The least added loss within the budget; InfeasibleError where the narrowest network is slower.

    The latency of a group depends on how wide its neighbours are. So the knapsack is solved with every cost
    as it is around the last answer, from the whole network on; the best answer that fits is then changed
    group by group, and by pairs of a wider and a narrower one, for as long as that gains.
    """
    whole = {name: c.widths[0] for name, c in groups.items()}
    narrowest = {name: c.widths[-1] for name, c in groups.items()}
    least_ms = min(latency.latency_ms(narrowest), _cheapest_ms(groups, latency))
    if latency.latency_ms(whole) <= budget_ms:
        return _chosen(groups, latency, whole)
    if least_ms > budget_ms:
        raise InfeasibleError(
            f"within {budget_ms:.4g} ms there is no network: the narrowest takes {least_ms:.4g} ms; ask for "
            "more milliseconds, or search for another network (`hwnas search`)"
        )
    fitting = [narrowest] if latency.latency_ms(narrowest) <= budget_ms else []
    around, seen = whole, []
    for _ in range(ROUNDS):
        answer = _around(groups, latency, around, budget_ms)
        if answer is None or answer in seen:
            break
        seen.append(answer)
        around = answer
        if latency.latency_ms(answer) <= budget_ms:
            fitting.append(answer)
    if not fitting:
        fitting = [_narrowed_to(groups, latency, around, budget_ms)]
    best = [_improved(groups, latency, widths, budget_ms) for widths in fitting]
    return min((_chosen(groups, latency, widths) for widths in best), key=lambda c: c.added_loss)


def _loss(groups: Mapping[str, Choices], name: str, width: int) -> float:
    known = groups[name]
    return known.losses[known.widths.index(width)]


def _chosen(groups: Mapping[str, Choices], latency: LatencyModel, widths: dict[str, int]) -> Chosen:
    total = sum(_loss(groups, name, width) for name, width in widths.items())
    return Chosen(widths, total, latency.latency_ms(widths))


def _around(
    groups: Mapping[str, Choices], latency: LatencyModel, widths: dict[str, int], budget_ms: float
) -> dict[str, int] | None:
    """The knapsack with the cost of each choice as it is with all other groups at `widths`."""
    now_ms = latency.latency_ms(widths)
    costs = [
        [ms - now_ms for ms in latency.alone_ms(name, known.widths, widths)] for name, known in groups.items()
    ]
    answer = knapsack([c.losses for c in groups.values()], costs, budget_ms - now_ms)
    if answer is None:
        return None
    return {name: known.widths[i] for (name, known), i in zip(groups.items(), answer, strict=True)}


def _cheapest_ms(groups: Mapping[str, Choices], latency: LatencyModel) -> float:
    """Of the narrowest network, where a narrower width is sometimes slower: the fastest width of each."""
    widths = {name: c.widths[-1] for name, c in groups.items()}
    for name, known in groups.items():
        times = latency.alone_ms(name, known.widths, widths)
        widths[name] = known.widths[times.index(min(times))]
    return latency.latency_ms(widths)


def _narrowed_to(
    groups: Mapping[str, Choices], latency: LatencyModel, widths: dict[str, int], budget_ms: float
) -> dict[str, int]:
    """From an answer that is too slow: the change that saves most per loss, again and again."""
    widths = dict(widths)
    while (now_ms := latency.latency_ms(widths)) > budget_ms:
        moves = []
        for name, known in groups.items():
            times = latency.alone_ms(name, known.widths, widths)
            for width, ms in zip(known.widths, times, strict=True):
                if ms < now_ms:
                    added = _loss(groups, name, width) - _loss(groups, name, widths[name])
                    moves.append(((now_ms - ms) / max(added, 1e-9), name, width))
        if not moves:
            raise InfeasibleError(
                f"no network within {budget_ms:.4g} ms was found, the fastest takes {now_ms:.4g} ms; ask for "
                "more milliseconds"
            )
        _, name, width = max(moves)
        widths[name] = width
    return widths


def _improved(
    groups: Mapping[str, Choices], latency: LatencyModel, widths: dict[str, int], budget_ms: float
) -> dict[str, int]:
    """With every change of one group, or of two, that lowers the loss and keeps the budget."""
    widths = dict(widths)
    while True:
        move = _best_move(groups, latency, widths, budget_ms)
        if move is None:
            return widths
        widths |= move


def _best_move(
    groups: Mapping[str, Choices], latency: LatencyModel, widths: dict[str, int], budget_ms: float
) -> dict[str, int] | None:
    """The change that lowers the loss most; None where there is none."""
    best: tuple[float, dict[str, int]] = (-1e-12, {})
    for name, known in groups.items():
        here = _loss(groups, name, widths[name])
        for width, loss in zip(known.widths, known.losses, strict=True):
            if loss >= here + best[0]:
                continue
            moved = {**widths, name: width}
            if latency.latency_ms(moved) <= budget_ms:
                best = (loss - here, {name: width})
                continue
            for other, there in groups.items():
                if other == name:
                    continue
                paid = _loss(groups, other, widths[other])
                times = latency.alone_ms(other, there.widths, moved)
                for second, second_loss, ms in zip(there.widths, there.losses, times, strict=True):
                    gain = loss - here + second_loss - paid
                    if ms <= budget_ms and gain < best[0]:
                        best = (gain, {name: width, other: second})
    return best[1] or None
