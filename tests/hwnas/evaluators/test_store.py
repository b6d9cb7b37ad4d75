"""Stored evaluations: what is added is served again; what is damaged or of another question never is."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from hwnas.evaluators.store import EvaluationStore, StoredEvaluation
from targets.errors import DamagedFileError

IDENTITY: dict[str, Any] = {"space": "mobile", "data": {"split": "ab"}, "recipe": {"epochs": 3}, "seed": 0}


def store(home: Path, warn: Any = print, **changes: Any) -> EvaluationStore:
    return EvaluationStore(home, ("mobile-32px", "My Photos"), {**IDENTITY, **changes}, warn=warn)


def evaluation(arch: str, accuracy: float = 0.5) -> StoredEvaluation:
    return StoredEvaluation(arch=arch, metrics={"val_accuracy": accuracy}, cpu_s=1.5, date="2026-01-01")


def test_what_was_added_is_known_to_the_next_one(tmp_path: Path) -> None:
    first = store(tmp_path)
    assert not first.known and not first.path.exists()
    first.add(evaluation("a/b"))
    first.add(evaluation("a/c", 0.7))
    first.add(evaluation("a/b", 0.9))  # trained twice by two runs at a time: the first one stays
    again = store(tmp_path)
    assert list(again.known.values()) == [evaluation("a/b"), evaluation("a/c", 0.7)]
    assert again.path.name.startswith("mobile-32px-my-photos-") and again.path.suffix == ".jsonl"
    assert all(isinstance(json.loads(line), dict) for line in again.path.read_text().splitlines())


def test_one_that_tells_more_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.add(evaluation("a"))
    more = StoredEvaluation(
        arch="a", metrics={"val_accuracy": 0.6, "val_top5": 0.9}, cpu_s=1.5, date="2026-01-02"
    )
    first.add(more)
    first.add(evaluation("a", 0.7))
    assert list(store(tmp_path).known.values()) == [more]


@pytest.mark.parametrize(
    "change", [{"data": {"split": "cd"}}, {"recipe": {"epochs": 4}}, {"seed": 1}, {"space": "darts"}]
)
def test_evaluations_of_another_question_are_never_served(tmp_path: Path, change: dict[str, Any]) -> None:
    store(tmp_path).add(evaluation("a"))
    other = store(tmp_path, **change)
    assert not other.known
    # Nor where somebody renames the file.
    store(tmp_path).path.rename(other.path)
    with pytest.raises(DamagedFileError, match="damaged or was renamed: delete it"):
        store(tmp_path, **change)


def test_a_line_that_was_torn_costs_only_itself(tmp_path: Path) -> None:
    first = store(tmp_path)
    for arch in "abc":
        first.add(evaluation(arch))
    whole = first.path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last + 1, last + 40, len(whole) - 1):
        first.path.write_bytes(whole[:cut])
        told: list[str] = []
        torn = store(tmp_path, told.append)
        lost = cut < len(whole) - 1  # without its end of line a whole line still counts
        assert list(torn.known) == (["a", "b"] if lost else ["a", "b", "c"])
        assert ("1 line(s) were cut off" in "".join(told)) == lost
        torn.add(evaluation("d"))
        assert list(store(tmp_path, lambda text: None).known)[-1] == "d"


def test_a_line_that_was_changed_is_left_out(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.add(evaluation("a"))
    first.add(evaluation("b"))
    first.path.write_text(first.path.read_text().replace('"arch": "a"', '"arch": "z"'))
    told: list[str] = []
    assert list(store(tmp_path, told.append).known) == ["b"]
    assert "cut off or changed" in told[0]


def _add_many(home: str, prefix: str) -> None:
    writer = store(Path(home))
    for i in range(30):
        writer.add(evaluation(f"{prefix}{i}"))


def test_two_searches_may_write_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_many, args=(str(tmp_path), prefix)) for prefix in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    told: list[str] = []
    known = store(tmp_path, told.append).known
    assert len(known) == 60 and not told


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "evaluations").write_text("a file")
    with pytest.raises(DamagedFileError, match="evaluations"):
        store(tmp_path).add(evaluation("a"))
