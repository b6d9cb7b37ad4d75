"""The section that asks whether the search was worth its time."""

from __future__ import annotations

from hwnas.core.words import number

from .facts import by_evaluator
from .figure_sections import card, pending, section
from .markup import Html, HtmlContent, count, el, percent, table
from .run_files import RunFiles
from .worth_figures import (
    Calibrated,
    Volumes,
    calibration,
    calibration_figure,
    volume_figure,
    volumes,
    worth_figure,
)


def worth_section(run: RunFiles) -> Html:
    """Gain over chance, calibration of the surrogate, what each operation brought."""
    gained, calibrated = volumes(run), calibration(run)
    cards = [
        card("fig-gain", "What the search gained", _gain_words(gained), volume_figure(gained))
        if gained
        else None,
        card(
            "fig-calibration",
            "What the surrogate expected",
            _calibration_words(calibrated),
            calibration_figure(calibrated),
        )
        if calibrated
        else None,
        card(
            "fig-worth",
            "What each operation is worth",
            f"Points of {run.metric.label} that one more layer of it brings at equal latency: a ridge "
            f"regression over the evaluated architectures ({run.metric.label} {by_evaluator(run)}), with 90 "
            "% bootstrap intervals. Grey: not told apart from nothing.",
            worth_figure(run),
        ),
        _proxies(run),
    ]
    shown: list[HtmlContent] = [each for each in cards if each is not None]
    body = el("div", shown, class_="grid") if shown else pending("Too little has been evaluated to say.")
    return section("worth", "Was it worth it?", body)


def _proxies(run: RunFiles) -> Html | None:
    """How the zero-cost proxies would have ranked what was trained; None where that was not looked at."""
    known = run.part("proxies")
    rows = [(label, number(known[name])) for name, label in _PROXY_NAMES.items() if name in known]
    rows = sorted(rows, key=lambda row: -2.0 if row[1] is None else -row[1])
    if not rows:
        return None
    words = (
        "Rank correlation (Spearman) of figures that need no training with the accuracy "
        f"{by_evaluator(run)}, over {count(known.get('n'))} networks. What is not above "
        "parameters and MACs tells nothing that size does not."
    )
    left_out = [_PROXY_NAMES[name] for name in known.get("left_out") or () if name in _PROXY_NAMES]
    if left_out:
        words += f" Left out, for they know no networks that read symbols: {', '.join(left_out)}."
    cells = [(name, "–" if rho is None else f"{rho:.2f}") for name, rho in rows]
    return el(
        "div",
        el("h3", "What needs no training"),
        el("p", words),
        table(("Figure", "Rank correlation"), cells),
        class_="card figure",
    )


_PROXY_NAMES = {
    "naswot": "NASWOT",
    "log_synflow": "log synflow",
    "zico": "ZiCo",
    "params": "parameters",
    "macs": "MACs",
}


def _gain_words(known: Volumes) -> str:
    words = (
        f"The share of the box of latency and error that the front dominates: {known.by_search[-1]:.3f} "
        f"after {len(known.by_search)} evaluations"
    )
    if not known.by_chance:
        return f"{words}."
    n = len(known.by_chance)
    return (
        f"{words}. Dashed: what is to be expected of as many of the {n} evaluations that nothing learned "
        f"had proposed (the random or stratified start of this run), {known.by_chance[-1]:.3f} after all."
    )


def _calibration_words(known: Calibrated) -> str:
    n = len(known.came)
    return (
        f"Of {n} architectures that the surrogate proposed, {known.covered} "
        f"({percent(known.covered / n, 0)}) came out inside the 95 % interval that it had given before they "
        "were trained."
    )
