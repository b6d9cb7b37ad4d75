"""The sections that show networks: the headline with the one to take, the drawings, the table of all."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from hwnas.core.words import number

from .blocks import parse_blocks
from .facts import (
    budget_text,
    budgets,
    chosen,
    conditions,
    cost_of,
    device_name,
    metric_name,
    other_devices,
    target_name,
    trained,
    with_unit,
)
from .figure_sections import pending, section
from .markup import Html, HtmlContent, count, el, fixed, ms, percent, percent_interval, signed_percent, table
from .run_files import Point, RunFiles
from .svg import draw_blocks, legend
from .verdict_box import title_of, verdict_box, worst

COLUMNS = (
    "Network", "Test accuracy", "Validation", "In the search", "Latency p50, ms", "Predicted, ms", "MACs",
    "Parameters", "File, MB", "Peak memory, MB", "Within budget", "Measured",
)  # fmt: skip


def headline(run: RunFiles) -> Html:
    """The answer in one screen: the network to take, its figures, its file."""
    best = chosen(run)
    children: list[HtmlContent] = [el("p", _eyebrow(run), class_="eyebrow")]
    if best is None:
        children += _no_result(run)
    else:
        accuracy = best.measured.get("test_accuracy", best.measured.get("val_accuracy"))
        score = f"{run.metric.label} {percent(accuracy)}"
        score = f"{percent(accuracy)} accurate" if run.metric.counted else score
        figures = f"{score} in {ms(best.measured['latency_p50_ms'])}"
        bad = worst(run)
        children += [
            el("h1", title_of(bad) if bad else figures),
            verdict_box(run),
            el(
                "p",
                f"What it came to, {figures}: " if bad else None,
                _promise(run),
                f"on {device_name(run)}: found by the search, trained, exported to ONNX and measured on that "
                "very file.",
                class_="lead",
            ),
            el("dl", [_stat(*stat) for stat in _stats(run, best)], class_="cards"),
            el("p", "File: ", _file_link(best) or "not exported yet", class_="note"),
        ]
    children.append(el("p", f"Latency: {conditions(run)}.", class_="note"))
    return el("header", el("div", children, class_="wrap"), class_="hero", id="result")


def networks_section(run: RunFiles) -> Html:
    """The picks as drawings, then every trained network in one table."""
    picks = list({p.arch_id: p for p in run.points if p.pick or p.origin == "pick"}.values())
    drawn = [_drawing(run, point) for point in picks]
    return section(
        "networks",
        "The networks",
        el(
            "p",
            "Fastest, knee and accurate are the ends and the middle of the front as it was before training; "
            "spread fills the gaps, gradient is the gradient search's own network.",
        )
        if picks
        else None,
        legend() if any(point.blocks for point in picks) else None,
        drawn or pending("No network has been picked so far."),
        el("h3", "All trained networks, with the baselines"),
        _table(run) if trained(run) else pending("No network has been trained and measured so far."),
    )


def _promise(run: RunFiles) -> str:
    words = budget_text(run)
    if not words:
        return "The most accurate network "
    if run.front.get("default_budget"):
        return f"The best network within the median of random ones ({words}; no budget was given) "
    return f"The best network under your budget ({words}) "


def _eyebrow(run: RunFiles) -> str:
    created = str(run.env.get("created") or "")[:10]
    return " · ".join(part for part in ("hwnas search", run.path.resolve().name, created) if part)


def _no_result(run: RunFiles) -> list[HtmlContent]:
    known = trained(run)
    if not known:
        done = (
            f"Finished stages: {', '.join(run.stages_done)}." if run.stages_done else "No stage is finished."
        )
        return [
            el("h1", "Search in progress"),
            el("p", "Not yet: no network has been trained and measured. ", done, class_="lead"),
        ]
    limits = budgets(run)
    nearest = min(
        known, key=lambda point: max((cost_of(point, m) or 0) / limit for m, limit in limits or [("", 1)])
    )
    needs = [
        f"{metric_name(metric)} {with_unit(metric, cost)} (budget {with_unit(metric, limit)})"
        for metric, limit in limits
        if (cost := cost_of(nearest, metric)) is not None
    ]
    return [
        el("h1", "Nothing fits the budget"),
        el(
            "p",
            f"No trained network meets {budget_text(run) or 'every budget'}. ",
            f"The nearest one, {nearest.label}, needs {' and '.join(needs)}." if needs else None,
            class_="lead",
        ),
    ]


def _stats(run: RunFiles, point: Point) -> list[tuple[str, str, str]]:
    """(name, value, small print) of the headline's cards."""
    measured, predicted = point.measured, point.predicted
    low, high = measured.get("latency_ci_low_ms"), measured.get("latency_ci_high_ms")
    interval = f"95 % interval {ms(low, unit=False)} to {ms(high, unit=False)}" if low and high else ""
    limits = {metric: f"budget {with_unit(metric, limit)}" for metric, limit in budgets(run)}
    unquantised = measured.get("fp32_latency_p50_ms")
    beside = f"fp32 {ms(unquantised, unit=False)}" if unquantised is not None else ""
    return [
        (f"Test {run.metric.label}", percent(measured.get("test_accuracy")), _beside_accuracy(run, point)),
        (
            "Latency, p50",
            ms(measured["latency_p50_ms"]),
            "; ".join(part for part in (interval, beside, limits.get("latency_ms", "")) if part),
        ),
        (
            "File size",
            fixed(cost_of(point, "size_mb"), 2, " MB"),
            "; ".join(filter(None, (_form(measured), limits.get("size_mb")))),
        ),
        ("MACs", count(predicted.get("macs")), limits.get("macs", "for one image")),
        ("Parameters", count(predicted.get("params")), limits.get("params", "")),
        (
            "Peak memory",
            fixed(predicted.get("peak_memory_mb"), 2, " MB"),
            limits.get("peak_memory_mb", "activations, predicted"),
        ),
    ]


def _form(measured: Mapping[str, float]) -> str:
    """Of the file: that of an int8 network stands beside the size of the float one."""
    float_mb = measured.get("fp32_size_mb")
    return "fp32 ONNX" if float_mb is None else f"int8 ONNX; fp32 {fixed(float_mb, 2, ' MB')}"


def _beside_accuracy(run: RunFiles, point: Point) -> str:
    """How sure the test accuracy is, and what it is to be compared with."""
    measured, svc = point.measured, number(run.front.get("svc_test_accuracy"))
    share, images = measured.get("test_accuracy"), measured.get("test_images")
    parts = [f"validation {percent(measured.get('val_accuracy'))}"]
    if share is not None and images:
        low, high = (measured.get(f"test_accuracy_{end}") for end in ("low", "high"))
        interval = percent_interval(share, images)
        if low is not None and high is not None:
            interval = f"{percent(low)} to {percent(high)}"
        parts.insert(0, f"{count(images)} images: {interval}")
    parts += [f"{name.removeprefix('test_')} {value:.4g}" for name, value in _others(measured)]
    if "repeated_accuracy" in measured:
        mean, low, high = (measured.get(f"repeated_accuracy{end}") for end in ("", "_low", "_high"))
        parts.append(
            f"over {count(measured.get('repeats'))} splits {percent(mean)}: {percent(low)} to {percent(high)}"
        )
    if "fp32_test_accuracy" in measured:
        parts.append(f"fp32 {percent(measured['fp32_test_accuracy'])}")
    if svc is not None:
        parts.append(f"SVC {percent(svc)}")
    return "; ".join(parts)


def _others(measured: Mapping[str, float]) -> list[tuple[str, float]]:
    """The further metrics of the task."""
    known = ("test_accuracy", "test_images")
    return [
        (name, value)
        for name, value in measured.items()
        if name.startswith("test_") and not name.startswith(known)
    ]


def _stat(name: str, value: str, small: str) -> Html:
    return el("div", el("dt", name), el("dd", value, el("small", small) if small else None), class_="card")


def _date(run: RunFiles, point: Point) -> str:
    """The day of the measurement, from the manifest."""
    latency = run.manifests.get(point.arch_id, {}).get("latency")
    return str(latency.get("measured", "–"))[:10] if isinstance(latency, dict) else "–"


def _file_link(point: Point) -> Html | None:
    """A link relative to the page; only to a folder that is there."""
    path = point.file
    if path is None:
        return None
    return el("a", el("code", path), href=f"./{quote(path)}")


def _linked(point: Point, text: str) -> HtmlContent:
    return text if point.file is None else el("a", text, href=f"./{quote(point.file)}")


def _drawing(run: RunFiles, point: Point) -> Html:
    latency_ms = point.measured.get("latency_p50_ms")
    known = f"{ms(latency_ms)} measured" if latency_ms is not None else "not measured yet"
    failed = el("p", el("b", "Failed. "), point.failure, class_="pending") if point.failure else None
    accuracy = percent(point.measured.get("test_accuracy", point.measured.get("val_accuracy")))
    blocks = parse_blocks(point.blocks)
    facts = [
        (accuracy, "accurate" if run.metric.counted else run.metric.label),
        (known, f"on {target_name(run)}"),
        (count(point.predicted.get("macs")), "MACs"),
        (count(point.predicted.get("params")), "parameters"),
        (str(len(blocks)), "blocks") if blocks else ("", ""),
    ]
    title = f"{point.label[:1].upper()}{point.label[1:]}"
    drawing = (
        el(
            "div",
            draw_blocks(blocks, f"{title}: {len(blocks)} blocks"),
            class_="scroll drawing",
            tabindex="0",
        )
        if blocks
        else pending("No file of the run describes this network.")
    )
    return el(
        "div",
        el("h3", title),
        el("p", [el("span", el("b", value), f" {unit}") for value, unit in facts if value], class_="facts"),
        el("p", point.reason) if point.reason else None,
        failed,
        drawing,
        el("details", el("summary", "Architecture string"), el("p", el("code", point.arch or point.arch_id))),
        class_="card figure",
    )


def _table(run: RunFiles) -> Html:
    best = chosen(run)
    rows = [_row(run, point, best is point) for point in trained(run)]
    rows += [_failed_row(run, point) for point in run.points if point.failure]
    rows += _pixel_rows(run)
    note = el(
        "p",
        f"Every latency: {conditions(run)}; below it its 95 % interval, below the prediction its error. "
        "MACs and peak memory are for one image.",
    )
    return el("div", note, table(_columns(run), rows), _failures(run), class_="card figure")


_PIXEL_MODELS = {"svc": "SVC", "linear": "Linear model"}


def _pixel_rows(run: RunFiles) -> list[list[HtmlContent]]:
    """The models without convolutions: what they saw and scored, or that they failed."""
    known = {str(model.get("name")): model for model in run.rows("pixel_models")}
    rows: list[list[HtmlContent]] = []
    for key, name in _PIXEL_MODELS.items():
        model, accuracy = known.get(key, {}), number(run.front.get(f"{key}_test_accuracy"))
        if accuracy is None and not model.get("failure"):
            continue
        words = ["scikit-learn, on pixels"]
        side, n_train = number(model.get("image_side_px")), number(model.get("n_train"))
        if side is not None and n_train is not None:
            words.append(f"{side:g} px, {n_train:,.0f} training images")
        cell = el("span", name, el("small", ": ".join(words)))
        rows.append(
            [
                cell,
                percent(accuracy, 2) if accuracy is not None else "failed",
                *[""] * (len(_columns(run)) - 2),
            ]
        )
    return rows


def _failed_row(run: RunFiles, point: Point) -> list[HtmlContent]:
    """A network without a file: its latency is that of the network with fresh weights."""
    known = point if "latency_p50_ms" in point.measured else None
    row = _row(run, point, best=False) if known else [point.label, *["–"] * (len(_columns(run)) - 1)]
    return [row[0], "failed", *row[2:]]


def _failures(run: RunFiles) -> Html | None:
    """Why networks and baselines have no figures."""
    reasons = [(point.label, point.failure) for point in run.points if point.failure]
    reasons += [
        (_PIXEL_MODELS.get(str(model.get("name")), str(model.get("name"))), str(model["failure"]))
        for model in run.rows("pixel_models")
        if model.get("failure")
    ]
    if not reasons:
        return None
    return el(
        "ul", [el("li", el("b", name), f" failed: {reason}") for name, reason in reasons], class_="note"
    )


def _row(run: RunFiles, point: Point, best: bool) -> list[HtmlContent]:
    measured, predicted = point.measured, point.predicted
    p50_ms, guess_ms = measured["latency_p50_ms"], predicted.get("latency_ms")
    low, high = measured.get("latency_ci_low_ms"), measured.get("latency_ci_high_ms")
    error = signed_percent(guess_ms / p50_ms - 1) if guess_ms is not None and p50_ms > 0 else "–"
    name = el(
        "span",
        f"{point.label}{' (chosen)' if best else ''}",
        el(
            "small",
            _linked(point, point.arch_id if len(point.arch_id) <= 34 else point.arch_id[:33] + "…"),
            title=point.arch_id,
        ),
    )
    how = " ".join(part for part in (point.clock, "" if point.flag == "ok" else point.flag) if part)
    unlike = measured.get("label_disagreements")
    return [
        name,
        percent(measured.get("test_accuracy"), 2),
        percent(measured.get("val_accuracy"), 2),
        percent(predicted.get("val_accuracy_search"), 2),
        _two(
            ms(p50_ms, unit=False), f"{ms(low, unit=False)} to {ms(high, unit=False)}" if low and high else ""
        ),
        _two(ms(guess_ms, unit=False), error),
        *(_on_device(point, name) for name in other_devices(run)),
        count(predicted.get("macs")),
        count(predicted.get("params")),
        fixed(cost_of(point, "size_mb"), 3),
        fixed(predicted.get("peak_memory_mb"), 3),
        "yes" if point.feasible else "no",
        _two(_date(run, point), how, f"{count(unlike)} labels unlike torch's" if unlike else ""),
    ]


def _columns(run: RunFiles) -> tuple[str, ...]:
    """The headings; further devices stand behind the prediction for the first one."""
    place = COLUMNS.index("Predicted, ms") + 1
    columns = [name.replace("accuracy", run.metric.label) for name in COLUMNS]
    return (*columns[:place], *(f"{name}, ms" for name in other_devices(run)), *columns[place:])


def _on_device(point: Point, name: str) -> Html:
    """The latency on a further device, and how it is known."""
    measured_ms, guess_ms = (
        point.measured.get(f"latency_p50_ms@{name}"),
        point.predicted.get(f"latency_ms@{name}"),
    )
    if measured_ms is not None:
        return _two(ms(measured_ms, unit=False), "measured")
    return _two(ms(guess_ms, unit=False), "predicted" if guess_ms is not None else "")


def _two(value: str, *small: str) -> Html:
    """A cell with small print below."""
    return el("span", value, [el("small", text) for text in small if text])
