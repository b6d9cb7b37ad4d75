"""pycocotools, the reference of average precision, on boxes as arrays."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hwnas.tasks.box_scores import rows_of

SIDE = 64.0
"""Pixels of the images that edges are shares of."""


def coco(labels: np.ndarray, answers: np.ndarray, classes: int) -> COCOeval:
    """What the reference makes of the same boxes, in pixels."""

    def entries(rows: np.ndarray, score: bool) -> list[dict]:
        found: list[dict] = []
        for i, image in enumerate(rows):
            for row in rows_of(image):
                left, top, right, bottom = row[1:5] * SIDE
                box = [left, top, right - left, bottom - top]
                last = {"score": row[5]} if score else {"iscrowd": int(row[5]), "area": box[2] * box[3]}
                found.append(
                    {"image_id": i, "category_id": int(row[0]), "bbox": box, "id": len(found) + 1, **last}
                )
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(labels))],
            "categories": [{"id": j} for j in range(classes)],
            "annotations": entries(labels, False),
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(entries(answers, True)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run
