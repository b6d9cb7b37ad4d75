"""`digits`: the 1,797 handwritten digits inside scikit-learn, 8 x 8 grey, enlarged to 32 x 32 by default."""

from __future__ import annotations

import numpy as np

from .arrays import ArraySource
from .source import NAMED, TRAIN, DataRequest, DataSource, Listing


@NAMED.add("digits")
def open_digits(request: DataRequest) -> DataSource:
    """The digits; needs no file and no network."""
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)  # (1797, 64), 0..16
    pixels = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    n = len(labels)
    listing = Listing(
        name="digits",
        class_names=tuple("0123456789"),
        in_channels=1,
        flip=False,
        names=tuple(f"{index:04d}" for index in range(n)),
        labels=labels.astype(np.int64),
        given=np.full(n, TRAIN, np.int8),
        sizes_bytes=np.full(n, 64, np.int64),
    )
    return ArraySource(listing, pixels, size_px=32)
