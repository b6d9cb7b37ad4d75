"""Texts as data: cut in their order, each symbol predicted once, and what is no text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.data import Data, inspect_data, load_data
from hwnas.data.text import UNKNOWN, text_source
from targets.errors import DamagedFileError, HwnasError, UsageError

LETTERS = "abcdefghij"


def _text(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), n))


def _load(path: Path, **options: Any) -> Data:
    return load_data(str(path), None, 0, root=path.parent, task="language", **options)


def test_every_symbol_is_predicted_once_and_no_piece_leaves_its_part() -> None:
    text = _text(2_000)
    source = text_source("book", list(text), "characters", length=32)
    listing = source.listing
    starts = np.array([int(name) for name in listing.names])
    predicted = [range(s + 9, s + 33) for s in starts.tolist()]  # 8 of 32 set the state; the next one follows
    places = [place for each in predicted for place in each]
    assert len(places) == len(set(places))
    for start, piece, labels in zip(starts, source.pieces, listing.labels, strict=True):
        assert "".join(listing.class_names[i] for i in piece) == text[start : start + 32]
        assert "".join(listing.class_names[i] for i in labels) == text[start + 9 : start + 33]
    for split, (begin, end) in enumerate(((0, 1600), (1600, 1800), (1800, 2000))):
        mine = starts[listing.given == split]
        assert mine.min() == begin
        assert mine.max() + 33 <= end


def test_a_stored_split_brings_the_same_text_and_another_text_is_refused(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(_text(2_000), encoding="utf-8")
    first = _load(book)
    stored = first.splits_json()
    again = load_data(str(book), None, 0, root=tmp_path, task="language", splits=stored)
    assert {s: again.split(s).tolist() for s in ("train", "val", "test")} == {
        s: first.split(s).tolist() for s in ("train", "val", "test")
    }
    book.write_text(_text(2_000, seed=1), encoding="utf-8")
    with pytest.raises(DamagedFileError, match="changed since the run began"):
        load_data(str(book), None, 0, root=tmp_path, task="language", splits=stored)


def test_words_beyond_the_vocabulary_are_one_symbol_and_a_note_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in (rng.zipf(1.2, 30_000) % 5_000).tolist()]
    (tmp_path / "book.txt").write_text(" ".join(words), encoding="utf-8")
    data = _load(tmp_path / "book.txt", tokens="words")
    assert data.n_classes == 2_000
    assert data.class_names[-1] == UNKNOWN
    assert any("1,999 most frequent words" in note for note in data.notes)
    assert any(f"count as {UNKNOWN}" in note for note in data.notes)
    assert data.task.outputs_in_words(2000) == "2000 kinds of words"


def test_the_vocabulary_is_that_of_the_training_part() -> None:
    symbols = list(_text(1_900)) + ["z"] * 100
    names = text_source("book", symbols, "characters", length=32).listing.class_names
    assert "z" not in names
    assert names[-1] == UNKNOWN


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (b"ten letter", UsageError, "10 characters are too few .* at least 1,000"),
        (b"text" * 500 + b"\0", DamagedFileError, "byte 2,000 is 0, so it is no text file"),
        (b"caf\xe9 " * 400, DamagedFileError, r"byte 3 \(0xe9\) is no UTF-8"),
        (b"a" * 3000, UsageError, "1 kind"),
    ],
    ids=["short", "binary", "latin1", "one symbol"],
)
def test_what_is_no_text_to_learn_from_is_refused(
    tmp_path: Path, content: bytes, error: type[HwnasError], says: str
) -> None:
    book = tmp_path / "book.txt"
    book.write_bytes(content)
    with pytest.raises(error, match=says):
        _load(book)
    with pytest.raises(error, match=says):
        inspect_data(str(book), root=tmp_path, task="language")


def test_options_of_images_and_folders_are_refused(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(_text(2_000), encoding="utf-8")
    with pytest.raises(UsageError, match="--group-column"):
        _load(book, group_column="person")
    with pytest.raises(UsageError, match="is a folder; the task language reads one text file"):
        _load(tmp_path)
    with pytest.raises(UsageError, match="--tokens syllables"):
        _load(book, tokens="syllables")
    with pytest.raises(UsageError, match="--tokens"):
        load_data("scenes", None, 0, root=tmp_path, tokens="words")
    with pytest.raises(UsageError, match="data set of the task classification"):
        load_data("scenes", None, 0, root=tmp_path, task="language")
    with pytest.raises(UsageError, match="data set of the task language"):
        load_data("markov", None, 0, root=tmp_path)


def test_the_facts_count_pieces_and_the_symbols_that_are_predicted(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(_text(2_000), encoding="utf-8")
    facts = inspect_data(str(book), root=tmp_path, task="language", window=32)
    assert facts.classes == {"10 kinds of characters": dict(facts.splits)}
    n = {name: 24 * pieces for name, pieces in facts.splits.items()}
    told = f"{n['train']:,} characters are learned, {n['val']} validate, {n['test']} test"
    assert facts.notes[0] == told
    assert (facts.cut, facts.kind, facts.n_outputs) == ("in the order of the text", "piece", 10)
