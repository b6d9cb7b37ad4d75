"""What tells two data sets apart, wherever their images lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from targets.files import digest_of, sha256

from .dataset import Data

_PIXEL_SAMPLES = 512
"""Images whose pixels are compared; the names, labels and file sizes of all of them are."""


def data_identity(data: Data) -> dict[str, Any]:
    """Names, labels, sizes and some pixels of the images, and which of them train and validate."""
    document = data.splits_json()
    split = {name: document[name] for name in ("train", "val")}
    members = np.concatenate([data.split("train"), data.split("val")])
    some = members[np.unique(np.linspace(0, len(members) - 1, _PIXEL_SAMPLES).round().astype(np.int64))]
    return {
        "name": data.name,
        "image_size": data.image_size,
        "listing": document["digest"],
        "split": digest_of(split),
        "pixels": sha256(np.ascontiguousarray(data.images(some).numpy()).tobytes()),
    }
