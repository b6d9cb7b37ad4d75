"""The page of an export: its files side by side, what was rejected and why. One file without any script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.core.samples import kind_named
from hwnas.tasks import Metric, task_named

from .markup import Html, HtmlContent, el, fixed, join, ms, percent, percent_interval, table, told
from .script_free import script_free_page

_HEAD = (
    "File", "Size", "Validation", "Test", "Latency", "Load", "First run", "Peak memory", "Nearness to fp32",
)  # fmt: skip


def export_page(manifest: Mapping[str, Any]) -> str:
    """The page of a manifest (`hwnas/exporting/manifest.py`), as text."""
    target, metric = manifest["measured"]["target"], task_named(manifest.get("task")).metric
    sentences = [el("p", sentence, class_="pending") for sentence in manifest["findings"]]
    rejected = [
        (record["file"], record["does"], record["rejected"], fixed(record["size_bytes"] / 1e6, 2, " MB"))
        for record in manifest["rejected"]
    ]
    body = join(
        el("h1", manifest["name"]),
        el("p", f"{manifest['source']['kind']}, exported for {target['name']}", class_="lead"),
        sentences,
        el("h2", "Files"),
        table(_HEAD, [_row(record, metric) for record in manifest["variants"]]),
        join(el("h2", "Rejected"), table(("File", "What", "Why", "Size"), rejected)) if rejected else None,
        _steps(manifest),
        el("h2", "Providers of phones"),
        el(
            "p",
            "What each would run of the float network, judged by its operators. One part is best: every cut "
            "moves tensors between processors.",
            class_="note",
        ),
        table(("Provider", "Parts", "Nodes", "To the CPU"), [_cut(cut) for cut in manifest["partitions"]]),
        el("h2", "How it is fed"),
        table(("What", "Value"), [(key, _text(value)) for key, value in manifest["input"].items()]),
        _conditions(manifest),
    )
    kind = kind_named((manifest["data"] or {}).get("kind"))
    return told(kind, script_free_page(f"{manifest['name']} for {target['name']}", body))


def _row(record: Mapping[str, Any], metric: Metric) -> list[HtmlContent]:
    check = record["check"]
    peak = record.get("peak_bytes")
    return [
        [record["file"], el("small", record["does"])],
        fixed(record["size_bytes"] / 1e6, 2, " MB"),
        _accuracy(record, "val", metric),
        _accuracy(record, "test", metric),
        _latency(record),
        ms(record.get("load_ms")),
        ms(record.get("first_run_ms")),
        fixed(None if peak is None else peak / 1e6, 0, " MB"),
        "the same" if check["max_difference"] == 0 else fixed(check["snr_db"], 1, " dB"),
    ]


def _steps(manifest: Mapping[str, Any]) -> Html | None:
    """What it cost to keep the promise on the accuracy of the 8-bit file."""
    records = [r for r in (*manifest["variants"], *manifest["rejected"]) if r["steps"]]
    if not records:
        return None
    rows = [
        [
            [f"{len(step['floats'])} layers in float" if step["floats"] else "all 8 bits"]
            + ([el("small", "chosen")] if step["chosen"] else []),
            step["ranges"] + (f", {count} epochs of training" if (count := step.get("aware_epochs")) else ""),
            percent(step["float_share"]),
            percent(step["val_accuracy"]),
            ms(step["latency_p50_ms"]),
            fixed(step["size_bytes"] / 1e6, 2, " MB"),
        ]
        for record in records
        for step in record["steps"]
    ]
    head = ("Step", "Ranges", "MACs in float", "Validation", "Latency", "Size")
    return join(
        el("h2", "What the accuracy of 8 bits costs"),
        el(
            "p",
            "Layers go back to float one after the other, the noisiest first, until no more accuracy is lost "
            "than allowed.",
            class_="note",
        ),
        table(head, rows),
    )


def _cut(cut: Mapping[str, Any]) -> list[HtmlContent]:
    from hwnas.exporting.partitions import lost_of  # here: it loads onnx

    nodes = f"{cut['supported_nodes']} of {cut['nodes']}"
    return [cut["provider"], str(cut["partitions"]), nodes, lost_of(cut) or "nothing"]


def _accuracy(record: Mapping[str, Any], split: str, metric: Metric) -> HtmlContent:
    share, n = record.get(f"{split}_accuracy"), record.get(f"{split}_images")
    if share is None or n is None:
        return percent(None)
    interval = percent_interval(share, n) if metric.counted else f"{metric.label}, {n} images"
    return [percent(share), el("small", interval)]


def _latency(record: Mapping[str, Any]) -> HtmlContent:
    if "latency_p50_ms" not in record:
        return ms(None)
    low, high = record["latency_ci_low_ms"], record["latency_ci_high_ms"]
    known = [str(record[key]) for key in ("flag", "flag_reason") if record.get(key)]
    flag = "" if record["flag"] == "ok" else f", {': '.join(known)}"
    return [ms(record["latency_p50_ms"]), el("small", f"{ms(low, unit=False)} to {ms(high)}{flag}")]


def _text(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in value[:20])
        return f"{shown}, …" if len(value) > 20 else shown
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _conditions(manifest: Mapping[str, Any]) -> Html:
    measured = manifest["measured"]
    facts = measured["context"]["facts"]
    options = ", ".join(f"{k} {v}" for k, v in measured["target"].items() if k != "name")
    parts = [
        measured["target"]["name"],
        str(facts.get("cpu_model") or facts.get("cpu_hardware") or ""),
        f"onnxruntime {facts['ort_version']}" if "ort_version" in facts else "",
        options,
        measured["date"],
        f"context {measured['context']['hash']}",
    ]
    return el("footer", " · ".join(part for part in parts if part))
