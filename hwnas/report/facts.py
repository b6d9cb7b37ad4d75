"""What the page says of a run in words: the device, the budgets, the network that was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.core.words import number

from .front_figures import measured_pair
from .markup import NBSP, count
from .run_files import JsonObject, Point, RunFiles

# Metric -> (name in a sentence, unit). The unit of counts is written by `count`.
METRICS = {
    "latency_ms": ("latency", "ms"),
    "macs": ("MACs", ""),
    "params": ("parameters", ""),
    "size_mb": ("size", "MB"),
    "peak_memory_mb": ("peak memory", "MB"),
    "energy_mj": ("energy", "mJ"),
}

# What a latency depends on: the label, and the names that a context may use for it.
CPU = ("cpu_model", "cpu_hardware", "cpu")
CONDITIONS = (
    ("{}", CPU),
    ("onnxruntime {}", ("ort_version", "onnxruntime_version", "onnxruntime")),
    ("provider {}", ("provider", "target_provider")),
    ("{} threads", ("threads", "target_threads")),
    ("{}", ("precision", "target_precision")),
    ("graph optimisation {}", ("graph_level", "target_graph_level")),
    ("context {}", ("context_hash", "hash")),
)


def target_name(run: RunFiles) -> str:
    """The name of the target, as the user calls it."""
    known = resolved_config(run).get("targets")
    first = known[0] if isinstance(known, list) and known else None
    return str(run.part("target").get("name") or first or "the target")


def device_name(run: RunFiles) -> str:
    """The target and the processor behind it, where that is known."""
    name, known = target_name(run), dict(_flat(run.part("target")))
    processor = next((known[key] for key in CPU if known.get(key)), None)
    return f"{name} ({processor})" if processor else name


def other_devices(run: RunFiles) -> list[str]:
    """Names of the devices behind the first one."""
    metrics = [str(row.get("metric", "")) for row in run.rows("targets")]
    return [metric.partition("@")[2] for metric in metrics if "@" in metric]


def conditions(run: RunFiles) -> str:
    """Device, runtime, version, threads, precision and date: what stands beside every latency."""
    known = dict(_flat(run.part("target")))
    if not known:
        return "not measured yet"
    parts = [target_name(run)]
    for label, names in CONDITIONS:
        value = next((known[name] for name in names if known.get(name)), None)
        if value:
            text = label.format(value)
            parts.append("1 thread" if text == "1 threads" else text)
    dates = [str(latency.get("measured") or "") for latency in _latencies(run)]
    date = max(dates, default="") or str(run.env.get("created") or "")
    return " · ".join([*parts, date[:10]] if date else parts)


def _latencies(run: RunFiles) -> list[JsonObject]:
    """The measurements of the exported files, from their manifests."""
    latencies = [manifest.get("latency") for manifest in run.manifests.values()]
    return [latency for latency in latencies if isinstance(latency, Mapping)]


def budgets(run: RunFiles) -> list[tuple[str, float]]:
    """(metric, limit) of every budget."""
    rows = [(str(row.get("metric", "")), number(row.get("limit"))) for row in run.rows("budgets")]
    return [(metric, limit) for metric, limit in rows if limit is not None]


def budget_text(run: RunFiles) -> str:
    """The budgets in words: `latency ≤ 12 ms and size ≤ 4 MB`."""
    return " and ".join(
        f"{metric_name(metric)} ≤ {with_unit(metric, limit)}" for metric, limit in budgets(run)
    )


def by_evaluator(run: RunFiles) -> str:
    """How the search saw an accuracy, in words."""
    short = run.front.get("evaluator") == "short-training"
    return "after a short training" if short else "with the supernet's shared weights"


def metric_name(metric: str) -> str:
    """What a metric is called in a sentence."""
    return METRICS.get(metric, (metric, ""))[0]


def with_unit(metric: str, value: float) -> str:
    """A value of that metric, with its unit."""
    if metric in ("macs", "params"):
        return count(value)
    return f"{value:g} {METRICS.get(metric, ('', ''))[1]}".strip().replace(" ", NBSP)


def trained(run: RunFiles) -> list[Point]:
    """The networks that were trained and measured: the search's first, each group by latency."""
    known = [(point, pair) for point in run.points if (pair := measured_pair(point))]
    return [p for p, _ in sorted(known, key=lambda k: (k[0].origin if k[0].is_baseline else "", k[1][0]))]


def chosen(run: RunFiles) -> Point | None:
    """The network to take: within every budget, best on validation (the test set decides nothing)."""
    candidates = [p for p in trained(run) if p.feasible and not p.is_baseline]
    candidates = [p for p in candidates if p.arch_id == run.front.get("chosen")] or candidates
    return max(candidates, key=_merit, default=None)


def cost_of(point: Point, metric: str) -> float | None:
    """A cost of the network: as measured, else as predicted."""
    measured = "latency_p50_ms" if metric == "latency_ms" else metric
    return point.measured.get(measured, point.predicted.get(metric))


def _merit(point: Point) -> tuple[float, float]:
    return point.measured.get("val_accuracy", -1.0), -point.measured["latency_p50_ms"]


def resolved_config(run: RunFiles) -> JsonObject:
    """The options of the run, every default filled in."""
    inner = run.config.get("config", run.config)
    return inner if isinstance(inner, Mapping) else {}


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every scalar of nested objects by its own name; the outermost of a name comes last and wins."""
    for value in values.values():
        if isinstance(value, Mapping):
            yield from _flat(value)
    for key, value in values.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield str(key), str(value)
