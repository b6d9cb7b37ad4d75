"""What the chosen network gets wrong on the test images: as the task counts it, and the pictures.

Read after all decisions are made, by the file that the target runs.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.exporting.by_column import by_column
from hwnas.exporting.onnx_score import OnnxScore, onnx_accuracy
from hwnas.pipeline.found_front import Front
from hwnas.runs.front_file import MISTAKES_JSON, FrontPoint
from targets.files import write_json

from .run_context import RunContext

MOST_PICTURES = 24
_SIDE_PX = 96
"""Larger pictures are scaled down to it."""


def chosen_scores(context: RunContext, points: Sequence[FrontPoint], chosen: str) -> dict[str, OnnxScore]:
    """What the file of the chosen network answers, by split; empty where there is none to ask."""
    front = Front(context.path, {"chosen": chosen}, tuple(points))
    file = front.onnx(front.best)
    if file is None:
        return {}
    splits = ("val", "test") if context.data.told_by("val") else ("test",)
    return {split: onnx_accuracy(file, context.data, split) for split in splits}


def columns_facts(context: RunContext, scores: Mapping[str, OnnxScore]) -> dict[str, Any]:
    """How good the chosen network is by the columns of the data, by split; empty where there are none."""
    told = {split: by_column(score, context.data.told_by(split)) for split, score in scores.items()}
    return {split: entries for split, entries in told.items() if entries}


def write_mistakes(context: RunContext, score: OnnxScore, chosen: str) -> None:
    """Write mistakes.json. score: of the chosen network on the test images."""
    task, names = context.data.task, context.data.class_names
    document = {"arch_id": chosen, **task.mistakes(score.logits, score.labels, names)}
    wrong = task.worst(score.logits, score.labels)[:MOST_PICTURES]
    if context.data.kind.dims == 0:  # the table says it all: no picture shows a text
        wrong = wrong[:0]
    images = context.data.images(context.data.split("test")[wrong]).numpy() if len(wrong) else np.empty(0)
    draw: Callable[[Any], str] = picture if context.data.kind.levels else traces
    document["pictures"] = [
        {
            **task.told(score.logits[place], score.labels[place], names),
            "png": draw(task.shown(image, score.labels[place], score.logits[place])),
        }
        for place, image in zip(wrong, images, strict=True)
    ]
    write_json(context.path / MISTAKES_JSON, document)


_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")


def traces(signal: npt.NDArray[np.float32]) -> str:
    """(c, 1, t): a line for each of the first six channels, over its own range, as a PNG in base64."""
    from PIL import Image, ImageDraw

    scale = 4  # drawn larger, and scaled down smoothly
    side = scale * _SIDE_PX
    drawn = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(drawn)
    across = np.linspace(0, side - 1, signal.shape[2])
    for values, colour in zip(signal[:, 0], _COLOURS, strict=False):
        low, high = float(values.min()), float(values.max())
        down = (side - 1) * (0.95 - 0.9 * (values - low) / max(high - low, 1e-12))
        pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=colour, width=scale)
    buffer = io.BytesIO()
    drawn.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def picture(image: npt.NDArray[np.uint8]) -> str:
    """(c, h, w) as a PNG in base64, at most 96 px high."""
    from PIL import Image

    drawn = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    if drawn.height > _SIDE_PX:
        drawn = drawn.resize(
            (round(drawn.width * _SIDE_PX / drawn.height), _SIDE_PX), Image.Resampling.LANCZOS
        )
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
