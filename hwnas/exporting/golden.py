"""The golden pair: one image and what each file must answer to it, by which an app checks its own code."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hwnas.tasks.mask_scores import palette

from .delivery import Delivery, Record
from .onnx_score import answer_of, batch_of, open_session
from .variants import VARIANTS

IMAGE, RAW, EXPECTED = "golden/input.png", "golden/input.raw", "golden/expected.json"
ROWS = "golden/input.csv"
MASK = "golden/mask.png"
"""What the float network answers, where that is a mask: a palette image of class numbers."""

MOST_OUTPUTS = 1000
"""Of larger answers every n-th number is kept."""


def golden_pair(delivery: Delivery, records: Sequence[Record]) -> dict[str, bytes]:
    """Files by name: the sample, the same as bare numbers, and the answers as JSON.

    An image is a PNG, and bytes in the order height, width, channel; a signal is a CSV with a row for each
    moment, and float32 in that order. It is the first of the test split that the float network gets right and
    is surest of, so that rounding does not change its answer.
    """
    data = delivery.source.data
    assert data is not None  # there is no pair without images
    plain = delivery.plain_scores["test"]
    place = int(data.task.margin(plain.logits, plain.labels).argmax())
    index = int(data.split("test")[place])
    values = data.inputs([index]).numpy()[0].transpose(1, 2, 0)  # (h, w, c)
    name, content = (IMAGE, _png(values)) if data.kind.levels else (ROWS, _rows(values))
    says = (
        {"image": IMAGE, "pixels": RAW, "pixel_order": "height, width, channel"}
        if data.kind.levels
        else {"sample": name, "raw": RAW, "raw_order": "moment, channel; float32, little-endian"}
    )
    answers = {record["file"]: _answer(delivery, record, index) for record in records}
    document = {
        **says,
        **data.task.golden(data.class_names, data.labels[index]),
        "files": answers,
    }
    masks = {MASK: _mask_png(plain.logits[place])} if data.task.readable.reading == "mask" else {}
    return {
        **masks,
        name: content,
        RAW: np.ascontiguousarray(values).tobytes(),
        EXPECTED: (json.dumps(document, indent=1, allow_nan=False) + "\n").encode(),
    }


def _png(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _rows(values: NDArray[Any]) -> bytes:
    """Nine digits hold a float32."""
    return "".join(",".join(f"{v:.9g}" for v in row) + "\n" for row in values[0].tolist()).encode()


def _mask_png(mask: Any) -> bytes:
    image = Image.fromarray(np.asarray(mask, np.uint8)).convert("L")
    image.putpalette(palette().ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _answer(delivery: Delivery, record: Record, index: int) -> dict[str, Any]:
    """What the file answers to the image, as every app must get it."""
    import torch

    data = delivery.source.data
    assert data is not None  # as above
    session = open_session((delivery.folder / record["file"]).read_bytes())
    wanted = session.get_inputs()[0]
    raw = data.inputs([index])
    if data.kind.levels is None:
        fed = raw.numpy()
    elif delivery.packaging.layout is None:
        mean = torch.tensor(data.mean).reshape(1, -1, 1, 1)
        std = torch.tensor(data.std).reshape(1, -1, 1, 1)
        fed = ((raw.float() / 255 - mean) / std).numpy()
    else:
        fed = (raw.permute(0, 2, 3, 1) if delivery.packaging.layout == "nhwc" else raw).numpy()
    batch = np.repeat(np.ascontiguousarray(fed), batch_of(session), axis=0)
    outputs = np.asarray(answer_of(session, session.run(None, {wanted.name: batch}))[0], np.float64)
    every = -(-outputs.size // MOST_OUTPUTS) | 1  # odd, so that it meets every column
    return {
        "outputs": [float(value) for value in outputs.ravel()[::every]],
        "n": int(outputs.size),
        **({"every": every} if every > 1 else {}),
        **({"label": int(outputs.argmax())} if data.task.readable.reading == "top" else {}),
        "tolerance": VARIANTS[record["name"]].off_elsewhere * max(1.0, float(np.abs(outputs).max())),
    }
