"""Why each pick was picked, in one sentence with its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .picks import Pick


def pick_reasons(
    picks: Sequence[Pick],
    latency: ArrayLike,
    accuracy: ArrayLike,
    n_images: int | None,
    say_latency: Callable[[float], str],
    score: str = "accuracy",
) -> list[str]:
    """One sentence per pick, in their order.

    latency, accuracy: of all that could be picked (points,).
    n_images: that the accuracies were counted on, of which the standard error follows; None for another
        score, whose error is not known.
    say_latency: a latency with its unit.
    score: what `accuracy` is called where it is another score.

    >>> picks = [Pick(0, "fastest"), Pick(1, "accurate")]
    >>> for text in pick_reasons(picks, [1.0, 3.0], [0.7, 0.9], 100, "{:g} ms".format):
    ...     print(text)
    The fastest of 2 networks inside the budgets: 1 ms, 20.0 points less accurate than the most accurate one.
    The most accurate of 2 networks inside the budgets in the search: 90.0 %, in 3 ms.
    """
    values, accurate = np.asarray(latency, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    best = int(np.lexsort((values, -accurate))[0])
    error = 0.0
    if n_images is not None:
        error = float(np.sqrt(max(accurate[best] * (1 - accurate[best]), 0.0) / max(n_images, 1)))
    of_all = f"of {len(values)} networks inside the budgets"
    ordered = sorted(float(values[p.index]) for p in picks)
    sentences = []
    for pick in picks:
        own, lost = float(values[pick.index]), float(accurate[best] - accurate[pick.index])
        behind, share = _behind(lost, error), 100 * own / values[best]
        highest = f"The most accurate {of_all} in the search: {100 * accurate[pick.index]:.1f} %"
        if n_images is None:
            behind = (
                f"its {score} lower by {lost:.3f} than the highest"
                if lost > 0
                else f"its {score} the highest"
            )
            highest = f"The highest {score} {of_all} in the search: {accurate[pick.index]:.3f}"
        sentences.append(
            {
                "accurate": f"{highest}, in {say_latency(own)}.",
                "fastest": f"The fastest {of_all}: {say_latency(own)}, {behind}.",
                "knee": f"The knee of the front: {behind}, at {share:.0f} % of what that takes.",
                "spread": f"{_between(own, ordered, say_latency)}; {behind}.",
                "gradient": f"What the gradient search decoded: {say_latency(own)}, {behind}.",
            }[pick.why]
        )
    return sentences


def _behind(lost: float, standard_error: float) -> str:
    """By how many points a network is less accurate than the best, and whether that can be told."""
    if lost < 0.0005:  # less than is written
        return "as accurate as the most accurate one"
    points = f"{100 * lost:.1f} points less accurate than the most accurate one"
    if lost <= standard_error:
        return f"{points}, which is within its standard error of {100 * standard_error:.1f}"
    return points


def _between(own: float, ordered: Sequence[float], say_latency: Callable[[float], str]) -> str:
    """Which gap a network of the spread fills."""
    below, above = ([v for v in ordered if v < own], [v for v in ordered if v > own])
    if not below or not above:
        return f"At {say_latency(own)}, beyond the other picks"
    ends = f"{say_latency(below[-1])} and {say_latency(above[0])}"
    return f"At {say_latency(own)}, in the gap between the picks of {ends}"
