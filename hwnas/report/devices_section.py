"""A run for several devices: what every trained network takes on each of them."""

from __future__ import annotations

from hwnas.core.budget import LATENCY
from hwnas.core.words import number

from .facts import trained
from .figure_sections import section
from .markup import Html, HtmlContent, el, ms, percent, table
from .run_files import JsonObject, Point, RunFiles


def devices_section(run: RunFiles) -> Html | None:
    """A column per device, its budget in the head; None for a run with one device."""
    devices = [row for row in run.rows("targets") if row.get("metric")]
    if len(devices) < 2:
        return None
    limits = {str(row.get("metric")): number(row.get("limit")) for row in run.rows("budgets")}
    predicted = [str(device.get("name")) for device in devices if not device.get("measured")]
    return section(
        "devices",
        "On every device",
        el(
            "p",
            "Median latency of the exported file, with its interval; bold where it is over the budget of the "
            "device.",
        ),
        el("p", _not_measured(predicted), class_="note") if predicted else None,
        table(
            ("Network", f"Test {run.metric.label}", *(_head(device, limits) for device in devices)),
            [
                (
                    f"{point.label} ({point.arch_id})",
                    percent(point.measured.get("test_accuracy")),
                    *(_cell(point, device, limits) for device in devices),
                )
                for point in sorted(trained(run), key=lambda p: p.measured.get("latency_p50_ms", 0.0))
            ],
        ),
    )


def _not_measured(names: list[str]) -> str:
    who = ", ".join(names)
    return f"Not at hand: {who}. Latencies there are those of a stored table, with its error as interval."


def _head(device: JsonObject, limits: dict[str, float | None]) -> HtmlContent:
    limit = limits.get(str(device["metric"]))
    budget = f"budget {ms(limit)}" if limit else "no budget"
    kind = "measured" if device.get("measured") else "predicted"
    return [str(device.get("name")), el("br"), el("small", f"{kind}, {budget}")]


def _cell(point: Point, device: JsonObject, limits: dict[str, float | None]) -> HtmlContent:
    at = str(device["metric"]).removeprefix(LATENCY)
    value, low, high = (point.measured.get(f"latency_{name}_ms{at}") for name in ("p50", "ci_low", "ci_high"))
    limit = limits.get(str(device["metric"]))
    text = ms(value)
    over = value is not None and limit is not None and value > limit
    interval = f"{ms(low, unit=False)} to {ms(high, unit=False)}" if low and high else ""
    return [el("b", text) if over else text, el("br"), el("small", interval)]
