"""A text as a data set: symbols, a vocabulary from its training part, and pieces that are read at a time.

The text is cut in its order: the first 80 % train, the next 10 % validate, the last 10 % test, so that
nothing that tests stands between what was trained on. A piece has `length` symbols; the first quarter of them
only sets the state of a network, and each symbol after it is predicted once. Of the test and validation parts
at most 50,000 symbols count.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.core.samples import PIECE, SIZES
from hwnas.tasks import LANGUAGE, Language
from targets.errors import DamagedFileError, UsageError, did_you_mean
from targets.files import sha256, user_path

from .source import TEST, TRAIN, VAL, DataRequest, Listing

UNKNOWN = "<unk>"
"""Stands for all symbols that the vocabulary lacks."""
MOST_SYMBOLS = {"characters": 500, "words": 2000}
"""Kinds of symbols of a vocabulary, the rest is `UNKNOWN`; by the words of `--tokens`."""
LENGTH = 32
"""Symbols of a piece, unless told."""
LEAST_SYMBOLS = 1_000
_MOST_SCORED = 50_000
_HELD_OUT = 0.1
_CONTEXT = 4  # one part in so many of a piece only sets the state
_WORD = re.compile(r"\w+|[^\w\s]")

_PREPROCESSING = {
    "characters": "each character is a symbol; its number is its place in class_names",
    "words": "words and marks between them are symbols; their numbers are their places in class_names",
}

Symbols = npt.NDArray[np.int64]


def context_of(length: int) -> int:
    """Symbols of a piece that are read and not predicted."""
    return length // _CONTEXT


def read_text(path: Path) -> str:
    """The text of a file; DamagedFileError names the byte that is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from None
    if (place := raw.find(b"\0")) >= 0:
        raise DamagedFileError(
            f"{path}: byte {place:,} is 0, so it is no text file; give a text in UTF-8, as --data book.txt"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFileError(
            f"{path}: byte {error.start:,} (0x{raw[error.start]:02x}) is no UTF-8; save the text as "
            "UTF-8, where it is an old one with iconv -f latin1 -t utf-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def symbols_of(text: str, kind: str) -> list[str]:
    """The characters, or words and marks between them.

    >>> symbols_of("Not now, he said.", "words")
    ['Not', 'now', ',', 'he', 'said', '.']
    """
    return list(text) if kind == "characters" else _WORD.findall(text)


@dataclass(frozen=True, eq=False)
class TextSource:
    """A text in pieces, in the order of the text.

    pieces: (n, length). listing: their labels are the symbols that follow the last ones.
    """

    listing: Listing
    pieces: Symbols

    def natural_size(self) -> int:
        """Symbols of a piece."""
        return int(self.pieces.shape[1])

    def read(self, index: int, image_size: int) -> Symbols:
        """One piece."""
        piece: Symbols = self.pieces[index]
        return piece

    def content_key(self, index: int) -> bytes:
        """Where it stands: no two pieces are the same."""
        return str(index).encode()


def text_source(
    name: str,
    symbols: Sequence[str],
    kind: str,
    *,
    length: int = LENGTH,
    val_share: float | None = None,
    characters_per_symbol: float = 1.0,
) -> TextSource:
    """The source of a text that is in memory; UsageError for one that is too short or of one symbol.

    val_share: part of what does not test that validates; None: an eighth.
    """
    least = max(LEAST_SYMBOLS, round(2 * length / _HELD_OUT))
    if len(symbols) < least:
        raise UsageError(
            f"{name}: {len(symbols):,} {kind} are too few to learn a language from, at least {least:,} are "
            "needed; give a longer text" + (", or --tokens characters" if kind == "words" else "")
        )
    n = len(symbols)
    begin_test = n - round(_HELD_OUT * n)
    n_val = round(_HELD_OUT * n if val_share is None else val_share * begin_test)
    begin_val = max(length + 1, min(begin_test - n_val, begin_test - length - 1))
    names, notes = _vocabulary(symbols[:begin_val], kind)
    number = {symbol: i for i, symbol in enumerate(names)}
    other = number.get(UNKNOWN)
    ids = np.array([number.get(symbol, -1) for symbol in symbols], np.int64)
    strange = ids == -1
    if strange.any() and other is None:  # not in the training part, so that nothing can be known of them
        names, other = (*names, UNKNOWN), len(names)
    ids[strange] = -1 if other is None else other
    if strange.any():
        share = 100 * float(strange.mean())
        notes.append(
            f"{int(strange.sum()):,} of {n:,} {kind} ({share:.2g} %) are not in the vocabulary and count as "
            f"{UNKNOWN}"
        )
    pieces, labels, given, places = _pieces(ids, length, (0, begin_val, begin_test, n))
    learned, validate, test = (labels[given == split].size for split in (TRAIN, VAL, TEST))
    notes.insert(0, f"{learned:,} {kind} are learned, {validate:,} validate, {test:,} test")
    listing = Listing(
        name=name,
        class_names=names,
        in_channels=1,
        flip=False,
        names=tuple(f"{place}" for place in places),
        labels=labels,
        given=given,
        sizes_bytes=np.full(len(pieces), length, np.int64),
        notes=tuple(notes),
        content=sha256(ids.tobytes()),
        kind=PIECE,
        preprocessing=_PREPROCESSING[kind],
        task=Language(kind=kind, characters_per_symbol=characters_per_symbol, n_symbols=len(names)),
    )
    return TextSource(listing, pieces)


def _vocabulary(trained: Sequence[str], kind: str) -> tuple[tuple[str, ...], list[str]]:
    """The symbols of the training part, the most frequent where there are too many, and notes."""
    counts = Counter(trained)
    most = MOST_SYMBOLS[kind]
    if len(counts) <= most:
        return tuple(sorted(counts)), []
    kept = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[: most - 1]
    note = f"the vocabulary has the {most - 1:,} most frequent {kind} of {len(counts):,}, and {UNKNOWN}"
    return (*sorted(kept), UNKNOWN), [note]


def _pieces(
    ids: Symbols, length: int, bounds: tuple[int, int, int, int]
) -> tuple[Symbols, Symbols, npt.NDArray[np.int8], list[int]]:
    """Pieces (n, length), labels (n, t), split of each (n,), where each begins. None leaves its part."""
    context = context_of(length)
    step = length - context
    starts: list[int] = []
    given: list[int] = []
    for split, (begin, end) in zip((TRAIN, VAL, TEST), itertools.pairwise(bounds), strict=True):
        places = list(range(begin, end - length, step))
        if split != TRAIN:
            places = places[: max(1, _MOST_SCORED // step)]
        starts += places
        given += [split] * len(places)
    index = np.array(starts)[:, None] + np.arange(length + 1)
    windows = ids[index]
    return windows[:, :-1], windows[:, 1 + context :], np.array(given, np.int8), starts


def open_text(request: DataRequest, val_share: float | None = None) -> TextSource:
    """The text of a file, or one with a name."""
    kind, length = request.tokens or "characters", request.window or LENGTH
    if kind not in MOST_SYMBOLS:
        raise UsageError(f"--tokens {kind}: {did_you_mean(kind, MOST_SYMBOLS)}")
    if length not in SIZES[PIECE.dims]:
        least, most = SIZES[PIECE.dims][0], SIZES[PIECE.dims][-1]
        raise UsageError(f"--window {length}: pieces of a text have {least} to {most} symbols")
    name, text = _text_of(request)
    symbols = symbols_of(text, kind)
    return text_source(
        name,
        symbols,
        kind,
        length=length,
        val_share=val_share,
        characters_per_symbol=len(text) / max(1, len(symbols)) if kind == "words" else 1.0,
    )


TEXTS: dict[str, Callable[[], str]] = {}
"""Texts with a name, which need no file."""


def _text_of(request: DataRequest) -> tuple[str, str]:
    """(name, text)."""
    if request.spec in TEXTS:
        return request.spec, TEXTS[request.spec]()
    path = user_path(request.spec)
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder; the task {LANGUAGE.name} reads one text file, as --data book.txt"
        )
    return path.stem, read_text(path)
