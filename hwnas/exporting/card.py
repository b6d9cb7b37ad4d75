"""README.md of an export, its model card: what the network is, how it is fed, how good and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.core.samples import kind_named
from hwnas.core.words import percent
from hwnas.tasks import Task, task_named

from .export import CARRIED
from .onnx_score import HEADS
from .snippets import CROP, file_names

_SHOWN_CLASSES = 50
_SHOWN_VALUES = 20


def model_card(manifest: Mapping[str, Any]) -> str:
    """The card of a manifest, as Markdown."""
    task = task_of(manifest)
    what = f"{task.readable.what}, " if manifest["data"] else ""
    target = manifest["measured"]["target"]["name"]
    parts = [
        f"# {_line(manifest['name'])}",
        f"This is {what}{_line(manifest['source']['kind'])}, exported for {_line(target)}.",
        *(f"**{_line(sentence)}**" for sentence in manifest["findings"]),
        "## Files",
        _files(manifest),
        f"Take `{manifest['recommended']}`: of the good files it is the fastest on the target.",
        "## How it is fed",
        _feeding(manifest),
    ]
    if manifest["quality"]:
        parts += ["## How good it is", _quality(manifest)]
    parts += ["## How fast it is", _speed(manifest), "## Data", _data(manifest)]
    parts += ["## Licence", _line(manifest["licence"] or "Not stated: whoever exported it gave none.")]
    if manifest["quality"]:
        parts += ["## Call it", _calls(task)]
    return kind_named((manifest["data"] or {}).get("kind")).told("\n\n".join(parts) + "\n")


def _files(manifest: Mapping[str, Any]) -> str:
    rows = []
    for record in manifest["variants"]:
        rows.append(
            (
                f"`{record['file']}`",
                record["does"],
                f"{record['size_bytes'] / 1e6:.2f} MB",
                _percent(record.get("test_accuracy")),
                _ms(record.get("latency_p50_ms")),
                _ms(record.get("load_ms")),
                "–" if record.get("peak_bytes") is None else f"{record['peak_bytes'] / 1e6:.0f} MB",
            )
        )
    head = (
        "file",
        "what",
        "size",
        f"test {task_of(manifest).metric.label}",
        "latency",
        "load",
        "peak memory",
    )
    return _table(head, rows)


_OUTPUT_SHAPES = {
    "mask": ": a number per class and pixel; the class of a pixel is that of its largest",
    "boxes": ": in each cell of two square grids, the finer first, the logarithms of the distances to the "
    "left, upper, right and lower edge, in cells, and the logit of each class; boxes of a class that overlap "
    "by an IoU above 0.6 are one, the surest. The programs below do it",
}
"""What is said of outputs that are more than a number each, by how they are read."""


def _output_lines(manifest: Mapping[str, Any]) -> list[str]:
    """The output, or that of each head."""
    said = manifest["input"]
    if HEADS not in said:
        shape = _OUTPUT_SHAPES.get(task_of(manifest).readable.reading, "")
        return [f"- output `{said['output_name']}`{shape}"]
    return [f"- output `{_line(name)}`: {', '.join(map(_line, of))}" for name, of in said[HEADS].items()]


def _feeding(manifest: Mapping[str, Any]) -> str:
    said = manifest["input"]
    lines = [
        f"- input `{said['input_name']}`, {said.get('input_layout', 'as the file says')}, "
        f"{' × '.join(map(str, said['input_shape']))}",
        *_output_lines(manifest),
    ]
    if "colour_order" in said:
        lines.append(f"- colours: {said['colour_order']}")
    kind = kind_named(said.get("sample"))
    if CARRIED in said:
        state = said[CARRIED]
        lines += [
            f"- {said['preprocessing']}, and in `vocabulary.json`",
            f"- state: input `{state['input']}`, float32, {' × '.join(map(str, state['shape']))}, "
            f"{state['first']} before the first symbol; then what output `{state['output']}` gave at the "
            "call before",
        ]
    elif kind.dims == 1:
        _, channels, _, length = said["input_shape"]
        what = "values" if "rate_hz" in said else f"rows of {channels} values"
        lines.append(f"- one {kind.name}: {length} {what}; {_line(said['preprocessing'])}")
    elif manifest["data"]:
        lines.append(f"- {CROP}")
    if "normalisation" in said:
        lines.append(f"- {said['normalisation']}")
        if "inside" not in said["normalisation"]:
            lines.append(f"- scale {said['scale']:.9g}, mean {_list(said['mean'])}, std {_list(said['std'])}")
    return "\n".join(lines)


def _quality(manifest: Mapping[str, Any]) -> str:
    quality, data = manifest["quality"], manifest["data"]
    # Names come from files: what Markdown would read in them is escaped first.
    head, rows, sentences = task_of(manifest).card(_escaped(quality))
    parts = [
        f"`{quality['file']}` on the {data['images']['test']} test images, which decided nothing before.",
        _table(head, rows[:_SHOWN_CLASSES]),
        f"… and {len(rows) - _SHOWN_CLASSES} more in manifest.json" if len(rows) > _SHOWN_CLASSES else "",
    ]
    sentences = [*sentences, *_repeats(manifest)]
    columns = [_by_column(entry) for entry in (quality.get("by_column") or {}).get("test") or []]
    return "\n\n".join(part for part in (*parts, *sentences, *columns) if part)


def _repeats(manifest: Mapping[str, Any]) -> list[str]:
    """How good it is on average over splits that were drawn anew."""
    repeats = manifest["source"].get("repeats")
    if not repeats:
        return []
    label = task_of(manifest).metric.label
    mean, low, high = (percent(repeats[key]) for key in ("mean", "low", "high"))
    return [
        f"Trained anew on {repeats['k']} other splits of its images, float networks of this architecture "
        f"have a test {label} of {mean} on average (95 % from {low} to {high}: Nadeau and Bengio's corrected "
        "interval)."
    ]


def _by_column(entry: Mapping[str, Any]) -> str:
    """How good it is for each value of a column, the worst first."""
    rows = entry["rows"]
    shown = [
        (
            _line(f"{row['value']}") + (" (far behind)" if row["behind"] else ""),
            str(row["images"]),
            *(f"{row[name]:.4g}" for name in ("score", "low", "high")),
        )
        for row in rows[:_SHOWN_VALUES]
    ]
    column = _line(str(entry["column"]))
    says = f"By {column}, the worst first" + (
        f", {len(shown)} of {entry['values']} values" if len(shown) < entry["values"] else ""
    )
    head = (column, "images", _line(str(entry["label"])), "95 % from", "to")
    return f"{says}; far behind is what chance does not explain:\n\n{_table(head, shown)}"


def task_of(manifest: Mapping[str, Any]) -> Task:
    """The task of an export; of an older one, classification."""
    return task_named(manifest.get("task"))


def _escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _escaped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_escaped(entry) for entry in value]
    return _line(value) if isinstance(value, str) else value


def _speed(manifest: Mapping[str, Any]) -> str:
    measured = manifest["measured"]
    facts = measured["context"]["facts"]
    device = facts.get("cpu_model") or facts.get("cpu_hardware") or measured["target"]["name"]
    options = ", ".join(f"{k} {v}" for k, v in measured["target"].items() if k != "name")
    versions = ", ".join(f"{k} {v}" for k, v in manifest["versions"].items() if v)
    return (
        f"Measured on {measured['target']['name']} ({_line(str(device))}; {options}; onnxruntime "
        f"{facts.get('ort_version', 'unknown')}) on {measured['date']}. Made with {versions}."
    )


def _data(manifest: Mapping[str, Any]) -> str:
    data = manifest["data"]
    if data is None:
        return "None was given, so nothing is known of how good it is."
    images = ", ".join(f"{n} {split}" for split, n in data["images"].items())
    return f"{_line(data['name'])}: {images}; {task_of(manifest).outputs_in_words(len(data['classes']))}."


def _calls(task: Task) -> str:
    what = "a text" if task.texts else "an image"
    return (
        f"Each program checks itself against the golden pair in `golden/`: {what}, and what each file must "
        "answer to it.\n\n" + "\n".join(f"- `{name}`" for name in file_names(task.readable))
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _line(text: str) -> str:
    """A text from a file, on one line, with no sign that Markdown or HTML would read."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in " ".join(str(text).split()))
    return escaped


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} ms"
