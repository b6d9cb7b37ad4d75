"""What the chosen network gets wrong on the test images: per class, class for class, and the pictures.

Read after all decisions are made, by the file that the target runs.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.exporting.onnx_score import OnnxScore, onnx_accuracy
from hwnas.pipeline.found_front import Front
from hwnas.runs.front_file import MISTAKES_JSON, FrontPoint
from targets.files import write_json

from .run_context import RunContext

MOST_PICTURES = 24
MOST_CONFUSIONS = 400
"""Pairs of classes that are kept, the most frequent first."""
_SIDE_PX = 96
"""Larger pictures are scaled down to it."""


def write_mistakes(context: RunContext, points: Sequence[FrontPoint], chosen: str) -> bool:
    """Write mistakes.json; whether there is a file to ask."""
    front = Front(context.path, {"chosen": chosen}, tuple(points))
    file = front.onnx(front.best)
    if file is None:
        return False
    score = onnx_accuracy(file, context.data, "test")
    document = {"arch_id": chosen, **confusion(score, context.data.class_names)}
    wrong = wrong_first(score)[:MOST_PICTURES]
    images = context.data.images(context.data.split("test")[wrong]).numpy() if len(wrong) else np.empty(0)
    document["pictures"] = [
        {
            "label": context.data.class_names[score.labels[place]],
            "answer": context.data.class_names[score.predicted[place]],
            "sure": sureness(score)[place],
            "png": picture(image),
        }
        for place, image in zip(wrong, images, strict=True)
    ]
    write_json(context.path / MISTAKES_JSON, document)
    return True


def confusion(score: OnnxScore, class_names: Sequence[str]) -> dict[str, Any]:
    """Images and right answers per class; every pair of classes that was taken for one another."""
    n = len(class_names)
    counts = np.bincount(score.labels * n + score.predicted, minlength=n * n).reshape(n, n)
    wrong = counts - np.diag(np.diag(counts))
    pairs = np.argsort(-wrong, axis=None, kind="stable")[: int((wrong > 0).sum())]
    return {
        "classes": [
            {"name": name, "n": int(counts[i].sum()), "right": int(counts[i, i])}
            for i, name in enumerate(class_names)
        ],
        "confusions": [
            {"label": class_names[p // n], "answer": class_names[p % n], "n": int(wrong.flat[p])}
            for p in pairs.tolist()[:MOST_CONFUSIONS]
        ],
    }


def sureness(score: OnnxScore) -> list[float]:
    """The probability that the network gives its answer, per image."""
    shifted = np.exp(score.logits - score.logits.max(1, keepdims=True))
    shares: list[float] = (shifted.max(1) / shifted.sum(1)).astype(float).tolist()
    return shares


def wrong_first(score: OnnxScore) -> npt.NDArray[np.int64]:
    """The places of the wrong answers, the surest first."""
    sure = np.array(sureness(score))
    order = np.argsort(-sure, kind="stable")
    places: npt.NDArray[np.int64] = order[(score.predicted != score.labels)[order]].astype(np.int64)
    return places


def picture(image: npt.NDArray[np.uint8]) -> str:
    """(c, h, w) as a PNG in base64, at most 96 px wide."""
    from PIL import Image

    drawn = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    if drawn.width > _SIDE_PX:
        drawn = drawn.resize(
            (_SIDE_PX, round(drawn.height * _SIDE_PX / drawn.width)), Image.Resampling.LANCZOS
        )
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
