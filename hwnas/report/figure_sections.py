"""The sections that show figures: the front, the prediction, the course of the search, the operations."""

from __future__ import annotations

import json

from hwnas.core.words import number

from .curve_figures import search_curves
from .facts import budget_text, by_evaluator, conditions, target_name, trained
from .figure import Figure
from .front_figures import measured_pair, non_dominated, searched_front, trained_front
from .markup import Html, HtmlContent, count, el, fixed, join, percent, table
from .operation_figures import belief_maps, cost_map, option_bars, option_grids, share_map
from .prediction_figure import prediction
from .run_files import JsonObject, RunFiles

# label, key in the table's errors, decimals, unit
ERRORS = (
    ("Mean absolute error", "mape_pct", 1, " %"),
    ("Within ±5 %", "within_5_pct", 0, " %"),
    ("Within ±10 %", "within_10_pct", 0, " %"),
    ("Spearman", "spearman", 3, ""),
)

MORE = {
    "predictor_mape_pct": "Predictor of unmeasured blocks: mean error, %",
    "predictor_median_pct": "Predictor: median error, %",
    "predictor_within_10_pct": "Predictor: within ±10 %, %",
    "predictor_n_held_out": "Predictor: blocks held out",
    "sum_mape_pct": "Sum of the blocks, uncalibrated: mean error, %",
    "sum_within_5_pct": "Sum of the blocks: within ±5 %, %",
    "sum_within_10_pct": "Sum of the blocks: within ±10 %, %",
    "sum_spearman": "Sum of the blocks: Spearman",
    "profile_cpu_s": "CPU time of the profiling, s",
    "n_calibration": "Networks it was calibrated on",
    "n_check": "Networks it was checked on",
    "n_rows_measured": "Blocks measured",
    "n_rows_predicted": "Blocks predicted",
    "empty_run_ms": "Run of an empty network, ms",
    "margin": "Relative error that 90 % of the networks stay within",
}


def plot(name: str, figure: Figure, title: str) -> Html:
    """The place of a figure and its data; `</` in a name cannot end the script element."""
    text = json.dumps(figure, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    height = f"min-height:{figure['layout']['height']}px"
    place = el("div", class_="plot", data_figure=name, style=height, role="img", aria_label=title)
    return join(place, el("script", Html(text), type="application/json", id=name))


def card(name: str, title: str, says: HtmlContent, figure: Figure | None) -> Html | None:
    """A figure with its title and one sentence; None where there is no figure."""
    if figure is None:
        return None
    return el("div", el("h3", title), el("p", says), plot(name, figure, title), class_="card figure")


def pending(text: str) -> Html:
    """What stands in for a part that the run has not produced."""
    return el("p", el("b", "Not yet. "), text, class_="pending")


def section(anchor: str, title: str, *children: HtmlContent) -> Html:
    """One section of the page."""
    return el("section", el("h2", title), *children, id=anchor)


def front_section(run: RunFiles) -> Html:
    """Accuracy against latency, as trained and as searched."""
    where, words = target_name(run), budget_text(run)
    outcome = card(
        "fig-trained",
        "Trained and measured",
        "Every marker is a network trained from scratch with one recipe; its latency was measured on the "
        "exported file, with its confidence interval. Hollow circles: what the latency table had predicted.",
        trained_front(run, where),
    )
    seen = card(
        "fig-searched",
        "As the search saw it",
        f"Every architecture evaluated: its {run.metric.label} {by_evaluator(run)}, its predicted latency.",
        searched_front(run, where),
    )
    return section(
        "front",
        "The front",
        el("p", _front_words(run)) if outcome else None,
        outcome or pending("No network has been trained and measured so far."),
        _correlation(run),
        seen or pending("No architecture has been evaluated so far."),
        el("p", f"Latency: {conditions(run)}.", f" Budget: {words}." if words else "", class_="note"),
    )


def _front_words(run: RunFiles) -> str:
    known = [(point, pair) for point in trained(run) if (pair := measured_pair(point))]
    mine = non_dominated(pair for point, pair in known if point.feasible and not point.is_baseline)
    baselines = [pair for point, pair in known if point.is_baseline and point.feasible]
    if not mine:
        return "No trained network is within the budget."
    text = f"{len(mine)} trained {'network is' if len(mine) == 1 else 'networks are'} not beaten by another "
    text += f"network of the search in both {run.metric.label} and latency; "
    text += f"they span {mine[-1][0] / mine[0][0]:.1f} × in latency."
    if baselines:
        beaten = sum(any(p[0] <= b[0] and p[1] >= b[1] and p != b for p in mine) for b in baselines)
        text += f" They beat {beaten} of the {len(baselines)} baselines within the budget in both."
    return text


def _correlation(run: RunFiles) -> Html | None:
    values = run.part("rank_correlation")
    shared, params = number(values.get("search_vs_trained")), number(values.get("params_vs_trained"))
    if shared is None and params is None:
        return None
    n = number(values.get("n"))
    return el(
        "p",
        "Did the search's quick look foresee the trained accuracy? Rank correlation over ",
        f"{n:g} trained networks" if n is not None else "the trained networks",
        f": {run.metric.label} {by_evaluator(run)} ",
        el("b", fixed(shared, 2)),
        ", number of parameters alone ",
        el("b", fixed(params, 2)),
        ". 1 is a perfect order, 0 is none.",
    )


def prediction_section(run: RunFiles) -> Html:
    """How far the latency table can be trusted."""
    figure = prediction(run)
    errors = {k: v for k, v in run.part("table").items() if k != "check"}
    nested = errors.pop("errors", None)
    errors |= nested if isinstance(nested, dict) else {}
    if figure is None and not errors:
        return section(
            "prediction",
            "Predicted and measured latency",
            pending("No latency table has been checked so far."),
        )
    drawn = card(
        "fig-prediction",
        "Whole networks the table had not seen",
        f"Measured on {target_name(run)}; inside the band the prediction is right to ±5 %.",
        figure,
    )
    floor = number(errors.get("noise_floor_pct"))
    rows = [
        ("This table", *_errors(errors, "")),
        ("Straight line in MACs", *_errors(errors, "macs_line_")),
        ("Noise floor of the device", fixed(floor, 1, " %"), *[""] * (len(ERRORS) - 1)),
    ]
    shown = {"noise_floor_pct", *(k for _, key, _, _ in ERRORS for k in (key, f"macs_line_{key}"))}
    others = [
        (MORE.get(key) or key.replace("_pct", ", %").replace("_ms", ", ms").replace("_", " "), f"{value:.4g}")
        for key, entry in sorted(errors.items())
        if key not in shown and (value := number(entry)) is not None
    ]
    head = ("", *(label for label, _, _, _ in ERRORS))
    figures = el(
        "div",
        el("h3", "How far to trust it"),
        el("p", "On networks that took no part in building or calibrating the table."),
        table(head, rows),
        el("details", el("summary", "More figures"), table(("", "Value"), others, class_="wraps"), open="")
        if others
        else None,
        class_="card figure",
    )
    note = el("p", f"Latency: {conditions(run)}.", class_="note")
    return section(
        "prediction", "Predicted and measured latency", el("div", drawn, figures, class_="grid"), note
    )


def _errors(errors: JsonObject, prefix: str) -> list[str]:
    return [fixed(number(errors.get(prefix + key)), digits, unit) for _, key, digits, unit in ERRORS]


def search_section(run: RunFiles) -> Html:
    """How the search went."""
    curves = search_curves(run)
    cards = [
        card(f"fig-curve-{index}", title, says, figure) for index, (title, says, figure) in enumerate(curves)
    ]
    body = el("div", cards, class_="grid") if cards else pending("The search has logged no epoch.")
    titles = {title for title, _, _ in curves}
    wanted = [*(["Expected latency"] if run.stats else []), "Hypervolume"]  # by epochs, by generations
    missing = [name for name in wanted if name not in titles]
    return section(
        "search",
        "How the search went",
        el("p", f"{count(len(run.rows('evaluated')))} architectures evaluated.")
        if run.rows("evaluated")
        else None,
        body,
        pending(f"No values for: {', '.join(missing).lower()}.") if cards and missing else None,
    )


def operations_section(run: RunFiles) -> Html:
    """What the options cost and which were chosen."""
    cost, share = option_grids(run)
    where = target_name(run)
    bars = card(
        "fig-bars",
        "Cost and choice by operation",
        f"Means over the layers that offer it. Left: latency in ms on {where}; right: share of the front.",
        option_bars(cost, share),
    )
    of_operations, of_others = belief_maps(run)
    says = "Probability of each option at the end of the search."
    beliefs = [
        card("fig-belief", "What the gradient search believed", says, of_operations),
        card("fig-belief-other", "Its other choices, such as widths", says, of_others),
    ]
    belief = join(beliefs)
    if not bars and not belief:
        return section(
            "operations", "What each operation costs", pending("No cost of an operation is known.")
        )
    maps = [
        card("fig-cost", "Cost by layer", f"Latency in ms on {where}, from the table.", cost_map(cost)),
        card("fig-share", "Chosen by layer", "Share of the front that uses the operation.", share_map(share)),
    ]
    dearest = max(cost, key=lambda place: cost[place], default=None)
    words = None
    if dearest:
        often = max(share, key=lambda place: share[place], default=dearest)
        words = el(
            "p",
            f"The dearest is {dearest[1]} in {dearest[0]}: {cost[dearest]:.3g} ms. ",
            f"Chosen most often: {often[1]} in {often[0]}, {percent(share.get(often), 0)}.",
        )
    return section(
        "operations",
        "What each operation costs",
        words,
        bars,
        el("div", maps, class_="grid") if cost else None,
        belief or pending("No gradient search has left its probabilities (alphas.npz)."),
        el("p", f"Latency: {conditions(run)}.", class_="note"),
    )
