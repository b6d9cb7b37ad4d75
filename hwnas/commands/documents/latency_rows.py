"""What `hwnas predict` and `hwnas bench` print: headings and rows, and the line of conditions below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[Sequence[str], list[list[Any]]]
Document = Mapping[str, Any]


def prediction_table(document: Document) -> Table:
    """A row per network."""
    rows = []
    for name, model in document["models"].items():
        memory_bytes, measured = model["peak_memory_bytes"], model["measured"]
        row = [name, model["latency_ms"], model["low_ms"], model["high_ms"]]
        row += [measured["latency_ms"] if measured else None, model["macs"] / 1e6]
        row += [model["file_bytes"] / 1e6, memory_bytes / 1e6 if memory_bytes else None]
        rows.append([*row, model["kernels_from"], _flag(model)])
    columns = ("latency_ms", "low_ms", "high_ms", "measured_ms", "mmacs", "file_mb", "peak_mb")
    return ("network", *columns, "kernels_from", "flag"), rows


def layer_table(model: Document) -> Table:
    """A row per layer, the costliest first, and one for what is no layer's."""
    rows = []
    for layer in sorted(model["layers"], key=lambda layer: -float(layer["latency_ms"])):
        row = [layer["name"], layer["op"], layer["kind"], layer["macs"], layer["latency_ms"]]
        rows.append([*row, layer["measured_ms"], f"{100 * layer['share']:.1f} %", layer["source"]])
    share = f"{100 * model['overhead_ms'] / model['latency_ms']:.1f} %"
    rows.append(["outside of all layers", None, None, None, model["overhead_ms"], None, share, None])
    return ("layer", "op", "kind", "macs", "latency_ms", "measured_ms", "share", "profile"), rows


NAMED = 5
"""Kinds of kernels that a warning names, those that cost most first."""


def prediction_warnings(document: Document) -> list[str]:
    """A line on the kinds of kernels that the profile has never seen, and one on those with few samples."""
    return [
        f"{name}: {said} {_costliest(model, model[which])}"
        for name, model in document["models"].items()
        for which, said in (("unknown", "never profiled:"), ("few", "few samples in the profile:"))
        if model[which]
    ]


def _costliest(model: Document, samples: Mapping[str, int]) -> str:
    """`Gelu (12), Pad (3) and 4 more; 7 % of its time`, the number of samples in brackets."""
    share = dict.fromkeys(samples, 0.0)
    for layer in model["layers"]:
        if layer["kind"] in share:
            share[layer["kind"]] += layer["share"]
    ordered = sorted(samples, key=lambda kind: -share[kind])
    named = ", ".join(f"{kind} ({samples[kind]})" for kind in ordered[:NAMED])
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"{named}{more}; {100 * sum(share.values()):.0f} % of its time"


def bench_table(document: Document) -> Table:
    """A row per network: its latency, and of memory and energy what was measured."""
    models = document["models"]
    columns = ["p20_ms", "p50_ms", "p90_ms", "ci_low_ms", "ci_high_ms", "clock", "flag", "n"]
    rows = [[name, *(row[column] for column in columns)] for name, row in models.items()]
    for kind, (headings, values) in _ALONE.items():
        if any(kind in row for row in models.values()):
            columns += headings
            for cells, row in zip(rows, models.values(), strict=True):
                cells += values(row[kind])
    return ("network", *columns), rows


def bench_warnings(document: Document) -> list[str]:
    """Why there is no energy where there is none."""
    return [
        f"the energy of {name} is unavailable: {row['energy']['unavailable']}"
        for name, row in document["models"].items()
        if "unavailable" in row.get("energy", {})
    ]


def conditions_line(document: Document) -> str:
    """What a latency means nothing without."""
    facts = document["context"]["facts"]
    long = ("cpu_flags", "ort_build")
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value != "" and key not in long)


def profiled_line(document: Document) -> str:
    """When the device was profiled, and how far predictions are off there."""
    profile = document["profile"]
    mape_pct = profile["errors"].get("mape_pct")
    error = "" if mape_pct is None else f", mean error {mape_pct:.1f} % on networks not seen"
    return f"profiled {profile['date']}{error}"


def _memory(row: Document) -> list[Any]:
    return [row["load_ms"], row["first_run_ms"], row["peak_bytes"] / 1e6, row["file_bytes"] / 1e6]


def _energy(row: Document) -> list[Any]:
    return [row.get("energy_mj", "unavailable"), row.get("part"), row.get("flag")]


_ALONE = {
    "memory": (("load_ms", "first_run_ms", "peak_mb", "file_mb"), _memory),
    "energy": (("energy_mj", "of", "energy_flag"), _energy),
}


def _flag(model: Document) -> str:
    """What to know before trusting a prediction: `ok`, or what of it the profile has not seen."""
    words = (("unknown", "never profiled"), ("few", "with few samples"))
    return ", ".join(f"{len(model[key])} kinds {said}" for key, said in words if model[key]) or "ok"
