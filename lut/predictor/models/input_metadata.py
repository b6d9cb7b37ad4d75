"""What the metadata of a model say of its inputs: what they are fed, and what of that is a guess."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from profilers.graph import OpenShape
from profilers.protobuf import fields, spans

from .protobuf import edited, field, without

METADATA = "hwnas.inputs"
"""Key of the metadata; `profilers.inputs` reads it (there onnxruntime is loaded, here it is not)."""

ASSUMED = "assumed"
"""In the metadata of an input whose open first axis is taken as 1."""

_METADATA_PROPS = 14


def inputs_of(data: bytes) -> dict[str, Any]:
    """What the metadata of a model say of its inputs, by name."""
    for number, value in fields(memoryview(data)):
        if number == _METADATA_PROPS:
            entry = dict(fields(value))
            if bytes(entry.get(1, b"")) == METADATA.encode():
                return dict(json.loads(bytes(entry.get(2, b""))))
    return {}


def fed_notes(data: bytes) -> list[str]:
    """What is fed to inputs whose sizes or numbers are a guess, in a line each; [] where there are none."""
    notes = []
    assumed = {name: entry["shape"] for name, entry in inputs_of(data).items() if entry.get(ASSUMED)}
    if assumed:
        name, shape = next(iter(assumed.items()))
        another = ",".join(map(str, (8, *shape[1:])))
        notes.append(f"an open batch is taken as 1; for another give --shape {name}={another}")
    for name, entry in inputs_of(data).items():
        if 0 in entry.get("shape", ()):
            sizes = " x ".join(map(str, entry["shape"]))
            notes.append(f"input {name!r} of {sizes} has no elements, as its file says; export it with sizes")
    guessed = {name: entry for name, entry in inputs_of(data).items() if entry.keys() & {"low", "values"}}
    if not guessed:
        return notes
    parts = []
    for name, entry in guessed.items():
        numbers = (
            " ".join(map(str, entry["values"][:4]))
            if "values" in entry
            else f"{entry['low']} to {entry['high']}"
        )
        parts.append(f"{name} {numbers}")
    notes.append(
        f"fed {', '.join(parts)}; if other numbers lead elsewhere, give them with --input NAME=VALUE"
    )
    return notes


def with_inputs(data: bytes, entries: Mapping[str, Any]) -> bytes:
    """The model whose metadata say this of its inputs, and nothing else."""
    if inputs_of(data):
        parts, start = [], 0
        for number, value, end in spans(memoryview(data)):
            if number != _METADATA_PROPS or bytes(dict(fields(value)).get(1, b"")) != METADATA.encode():
                parts.append(data[start:end])
            start = end
        data = b"".join(parts)
    if not entries:
        return data
    text = json.dumps(entries, separators=(",", ":")).encode()
    return data + field(_METADATA_PROPS, field(1, METADATA.encode()) + field(2, text))


def fixed(data: bytes) -> bytes:
    """The model with the sizes of its metadata written into its inputs, for a runtime that reads none."""
    new = {name: tuple(entry["shape"]) for name, entry in inputs_of(data).items() if "shape" in entry}
    if not new:
        return data
    return edited(memoryview(data), {"input": lambda info: _shaped(info, new), "node": _unchanged}) or data


def _unchanged(_: memoryview) -> None:
    return None


def _shaped(info: memoryview, shapes: Mapping[str, OpenShape]) -> bytes | None:
    """A ValueInfoProto with the shape that `shapes` has for its name."""
    values = dict(fields(info))
    name = bytes(values.get(1, b"")).decode()
    if name not in shapes:
        return None
    tensor = dict(fields(values[2]))[1]
    axes = b"".join(field(1, field(1, int(size or 0))) for size in shapes[name])
    kind = field(1, without(tensor, (2,)) + field(2, axes))
    return without(info, (2,)) + field(2, without(values[2], (1,)) + kind)
