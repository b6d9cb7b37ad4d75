"""`scenes`: small colour pictures, each of one handwritten digit among clutter; needs no file and no network.

The digits are the 1,797 inside scikit-learn, each in three scenes. A digit is turned, scaled and placed on a
shaded ground, in a colour of its own, over fragments of other digits (as in the cluttered MNIST of Mnih et
al. 2014, section 4.1). A network has to find the digit before it can read it, so networks differ more here
than on the digits themselves.

Every digit, also one that only lends a fragment, belongs to one split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .arrays import ArraySource
from .scenes_drawing import CHUNK, FRAGMENTS, SIDE_PX, Draws, Strokes, draw_scenes
from .source import NAMED, TEST, TRAIN, VAL, DataRequest, DataSource, Listing

SCENES_PER_DIGIT = 3

_SEED = 1797
_SPLIT, _LEND, _DRAW = range(3)  # streams of random numbers
_CONTENT = "scenes 1"  # counts up when the pixels change


@NAMED.add("scenes")
def open_scenes(request: DataRequest) -> DataSource:
    """The scenes; they are drawn when the first is read."""
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)  # (1797, 64), 0..16
    split = split_digits(labels)
    digits = np.repeat(np.argsort(split, kind="stable"), SCENES_PER_DIGIT)
    listing = Listing(
        name="scenes",
        class_names=tuple("0123456789"),
        in_channels=3,
        flip=False,
        centred=False,
        names=tuple(f"digit-{d:04d}-{i % SCENES_PER_DIGIT}" for i, d in enumerate(digits)),
        labels=labels[digits].astype(np.int64),
        given=split[digits],
        sizes_bytes=np.full(len(digits), SIDE_PX * SIDE_PX * 3, np.int64),
        content=_CONTENT,
    )
    return Scenes(listing, values.astype(np.int32).reshape(-1, 8, 8), digits)


def split_digits(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """Of each class a fifth tests, a fifth validates, the rest trains."""
    split = np.full(len(labels), TRAIN, np.int8)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        keys = Draws(_SEED, _SPLIT, label).below((1 << 31) - 1, len(members))
        shuffled = members[np.argsort(keys, kind="stable")]
        fifth = len(members) // 5
        split[shuffled[:fifth]], split[shuffled[fifth : 2 * fifth]] = TEST, VAL
    return split


@dataclass(frozen=True, eq=False)
class Scenes:
    """strokes: (1797, 8, 8), 0..16. digits: (n,), which of them each scene shows."""

    listing: Listing
    strokes: Strokes
    digits: npt.NDArray[np.int64]

    @cached_property
    def _drawn(self) -> ArraySource:
        others = self.lent()
        pixels = [
            draw_scenes(
                Draws(_SEED, _DRAW, begin), self.strokes[self.digits[part]], self.strokes[others[part]]
            )
            for begin in range(0, len(self.digits), CHUNK)
            for part in [slice(begin, begin + CHUNK)]
        ]
        return ArraySource(self.listing, np.concatenate(pixels), SIDE_PX)

    def lent(self) -> npt.NDArray[np.int64]:
        """(n, FRAGMENTS): the digits that the fragments of each scene are cut from."""
        lent = np.empty((len(self.digits), FRAGMENTS), np.int64)
        for split in (TRAIN, VAL, TEST):
            scenes = np.flatnonzero(self.listing.given == split)
            digits = np.unique(self.digits[scenes])
            lent[scenes] = digits[Draws(_SEED, _LEND, split).below(len(digits), len(scenes), FRAGMENTS)]
        return lent

    def natural_size(self) -> int:
        """The size that they are drawn at."""
        return SIDE_PX

    def read(self, index: int, image_size: int) -> npt.NDArray[np.uint8]:
        """One scene, scaled where its size differs."""
        return self._drawn.read(index, image_size)

    def content_key(self, index: int) -> bytes:
        """The pixels themselves."""
        return self._drawn.content_key(index)
