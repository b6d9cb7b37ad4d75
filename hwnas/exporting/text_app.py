"""What goes beside the file of a text: vocabulary, golden pair, a program that goes on with a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .delivery import Delivery
from .golden import EXPECTED
from .onnx_score import batch_of, open_session, outputs_of
from .snippets import next_symbol
from .snippets.facts import filled
from .variants import VARIANTS

VOCABULARY = "vocabulary.json"
_GOLDEN_SYMBOLS = 16


def text_files(delivery: Delivery, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The files by name."""
    golden = golden_text(delivery, manifest)
    return {
        VOCABULARY: _json(manifest["input"]["class_names"]),
        EXPECTED: _json(golden),
        next_symbol.FILE: program(manifest).encode(),
    }


def golden_text(delivery: Delivery, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The first symbols of the likeliest test piece, and what each file must answer after the last."""
    data = delivery.source.data
    assert data is not None  # there is no pair without a text
    plain = delivery.plain_scores["test"]
    index = int(data.split("test")[int(data.task.margin(plain.logits, plain.labels).argmax())])
    symbols = data.images([index]).numpy()[:, :_GOLDEN_SYMBOLS]
    files = {}
    for record in manifest["variants"]:
        session = open_session((delivery.folder / record["file"]).read_bytes())
        batch = np.ascontiguousarray(np.repeat(symbols, batch_of(session), axis=0))
        outputs = outputs_of(session, batch)[0, -1].astype(np.float64)
        tolerance = VARIANTS[record["name"]].off_elsewhere * max(1.0, float(np.abs(outputs).max()))
        files[record["file"]] = {"outputs": outputs.tolist(), "tolerance": tolerance}
    return {
        "symbols": [data.class_names[i] for i in symbols[0].tolist()],
        "read": "one after the other, from a state of zeros; `outputs` are the scores after the last",
        "files": files,
    }


def program(manifest: Mapping[str, Any]) -> str:
    """The program in Python."""
    said, carried = manifest["input"], manifest["input"]["carried"]
    values = {
        "FILE": manifest["recommended"],
        "FILE_TEXT": repr(manifest["recommended"]),
        "WORDS": repr((manifest["quality"] or {}).get("symbols") == "words"),
        "INPUT": repr(said["input_name"]),
        "OUTPUT": repr(said["output_name"]),
        "STATE": repr(carried["input"]),
        "NEXT": repr(carried["output"]),
        "SHAPE": repr(tuple(carried["shape"])),
        "BATCH": str(said["input_shape"][0]),
    }
    return filled(next_symbol.TEMPLATE, values)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
