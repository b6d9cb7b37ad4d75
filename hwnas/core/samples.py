"""What a sample is: an image, a window of sensor values, a sound, a piece of a text.

A kind is a row of `KINDS`. It says how many dimensions a sample has, how its values are stored, and what
people call it; nothing else knows which kinds there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from targets.errors import HwnasError

from .registry import Registry

SIZES = {2: range(16, 225), 1: range(16, 16_385), 0: range(16, 225)}
"""Sides of images, lengths of signals and of pieces of text, by the number of dimensions."""

FEW_PER_CLASS = 50
"""Images of a class in all splits under which there are few: a fifth of them tests, and ten images know an
accuracy to 25 points."""


def area(size: int, dims: int) -> int:
    """Values of one channel of a sample, or of a kernel: the size to the power of its dimensions."""
    return math.prod((size,) * dims)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleKind:
    """A kind of samples.

    name, plural, article: in sentences.
    dims: 2 for images; 1 for signals, which are images of height 1; 0 for texts, of which a file takes
        one symbol at a time.
    levels: how many values a number has that is stored; None for floats of any unit, which exported files
        standardise themselves.
    unit: of the size. size_option: what sets it.
    input_name: of exported files.
    """

    name: str
    plural: str
    article: str
    dims: int
    levels: int | None
    unit: str
    size_option: str
    input_name: str

    @property
    def top(self) -> float:
        """The stored value that counts as 1."""
        return 1.0 if self.levels is None else self.levels - 1.0

    @property
    def dtype(self) -> str:
        """How numpy and torch store a sample."""
        if self.dims == 0:
            return "int64"
        return "float32" if self.levels is None else "uint8"

    def shape(self, channels: int, size: int) -> tuple[int, int, int]:
        """(c, h, w) of a sample."""
        return (channels, size if self.dims == 2 else 1, size)

    def extent(self, channels: int, size: int) -> str:
        """`colour at 32 x 32 px`, `6 channels of 128 samples`."""
        if self.dims == 2:
            return f"{'grey' if channels == 1 else 'colour'} at {size} x {size} {self.unit}"
        if self.dims == 0:
            return f"{size} {self.unit} each"
        return f"{channels} channel{'s' if channels > 1 else ''} of {size} {self.unit}"

    def told(self, text: str) -> str:
        """A sentence that was written for images, in the words of this kind; what stands in `` stays.

        >>> KINDS["window"].told("An image of 32 px; add images, or a larger --image-size.")
        'A window of 32 samples; add windows, or a larger --window.'
        """
        return text if self.name == "image" else _WORDS.sub(self._word, text)

    def _word(self, match: re.Match[str]) -> str:
        if match["unit"]:
            return match["unit"].replace("px", self.unit)
        if match["option"]:
            return self.size_option
        if match["values"]:
            return "values" if match["values"].endswith("s") else "value"
        if not match["noun"]:
            return match[0]
        word = self.plural if match["noun"].endswith("s") else self.name
        article = "" if not match["article"] else f"{self.article} "
        capital = match[0][0].isupper()
        return (article + word).capitalize() if capital else article + word

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Errors that are raised inside, in the words of this kind."""
        try:
            yield
        except HwnasError as error:
            raise type(error)(self.told(str(error))) from error.__cause__


_WORDS = re.compile(
    r"`[^`]*`|(?P<option>--image-size)|(?P<unit>\d px\b)"
    r"|(?<![\w-])(?:(?P<values>pixels?)|(?P<article>[Aa]n )?(?P<noun>[Ii]mages?|[Pp]ictures?))(?![\w-])"
)

IMAGE = SampleKind(
    name="image",
    plural="images",
    article="an",
    dims=2,
    levels=256,
    unit="px",
    size_option="--image-size",
    input_name="image",
)
WINDOW = SampleKind(
    name="window",
    plural="windows",
    article="a",
    dims=1,
    levels=None,
    unit="samples",
    size_option="--window",
    input_name="window",
)

PIECE = SampleKind(
    name="piece",
    plural="pieces",
    article="a",
    dims=0,
    levels=None,
    unit="symbols",
    size_option="--window",
    input_name="token",
)

SOUND = SampleKind(
    name="sound",
    plural="sounds",
    article="a",
    dims=1,
    levels=None,
    unit="frames",
    size_option="--clip-seconds",
    input_name="waveform",
)

KINDS: Registry[SampleKind] = Registry("kind of samples")
for _kind in (IMAGE, WINDOW, SOUND, PIECE):
    KINDS.add(_kind.name)(_kind)


def kind_named(name: str | None) -> SampleKind:
    """The kind of that name; images where nothing is said, as in files of older versions."""
    return IMAGE if name is None else KINDS[name]
