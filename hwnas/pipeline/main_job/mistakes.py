"""What the chosen network gets wrong on the test images: as the task counts it, and the pictures.

Read after all decisions are made, by the file that the target runs.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas.exporting.onnx_score import onnx_accuracy
from hwnas.pipeline.found_front import Front
from hwnas.runs.front_file import MISTAKES_JSON, FrontPoint
from targets.files import write_json

from .run_context import RunContext

MOST_PICTURES = 24
_SIDE_PX = 96
"""Larger pictures are scaled down to it."""


def write_mistakes(context: RunContext, points: Sequence[FrontPoint], chosen: str) -> bool:
    """Write mistakes.json; whether there is a file to ask."""
    front = Front(context.path, {"chosen": chosen}, tuple(points))
    file = front.onnx(front.best)
    if file is None:
        return False
    score, task, names = (
        onnx_accuracy(file, context.data, "test"),
        context.data.task,
        context.data.class_names,
    )
    document = {"arch_id": chosen, **task.mistakes(score.logits, score.labels, names)}
    wrong = task.worst(score.logits, score.labels)[:MOST_PICTURES]
    images = context.data.images(context.data.split("test")[wrong]).numpy() if len(wrong) else np.empty(0)
    document["pictures"] = [
        {
            **task.told(score.logits[place], score.labels[place], names),
            "png": picture(task.shown(image, score.labels[place], score.logits[place])),
        }
        for place, image in zip(wrong, images, strict=True)
    ]
    write_json(context.path / MISTAKES_JSON, document)
    return True


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
