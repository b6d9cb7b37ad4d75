"""The discrete searchers in the users' words, on digits and tiny cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas import BayesianSearcher, EvolutionSearcher, PNASSearcher, RandomSearcher
from hwnas.pipeline import discrete_search, stored_search
from hwnas.pipeline.discrete_searchers import DiscreteSearcher
from hwnas.runs.status import run_status
from hwnas.spaces import load_space
from targets.errors import InfeasibleError, UsageError
from targets.files import read_json

TINY: dict[str, Any] = {
    "dataset": "digits",
    "image_size": 16,
    "limit": 120,
    "search_epochs": 1,
    "batch_size": 32,
    "cells": 2,
    "channels": 4,
    "population": 4,
    "evaluations": 8,
}
NB201 = TINY | {"search_space": "nasbench201", "cells": 1}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)


def trials(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_json(folder / "evaluated.json", "trials")["rows"]
    return rows


@pytest.mark.slow
def test_pnas_in_the_words_of_its_users(tmp_path: Path) -> None:
    """Its space cannot be made small from here, so a file of two operations stands in."""
    space = tmp_path / "small.toml"
    space.write_text(
        'space = "pnas"\noperations = ["sep_conv_3x3", "skip_connect"]\nblocks = 2\n'
        "[search]\ncells = 2\nchannels = 4\n[deployed]\ncells = 2\nchannels = 4\n"
    )
    small = TINY | {"search_space": str(space), "evaluations": 14, "cells": None, "channels": None}
    searcher = PNASSearcher(**small, beam=4, predictor_epochs=5)
    found = searcher.progressive_search()
    loaded = load_space(str(space), image_size=16, in_channels=1, n_classes=10)
    archs = [loaded.from_string(row["arch"]) for row in trials(found.folder)]
    assert [a[0] for a in archs] == [0] * 10 + [1] * 4 + [0] * 0 + [1] * (len(archs) - 14)
    assert found.method == "pnas" and 0 <= found.val_accuracy <= 1 and found.costs["macs"] > 0
    assert run_status(found.folder)["state"] == "done"
    trained = searcher.train_final_architecture(found, epochs=1, batch_size=32)
    assert trained.key == found.key and trained.onnx.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EvolutionSearcher, BayesianSearcher, RandomSearcher])
def test_the_best_of_what_was_scored_is_returned_and_a_second_call_reads_it(
    kind: type[DiscreteSearcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = kind(**NB201).search()
    rows = trials(found.folder)
    assert len(rows) == 8 == len({row["arch"] for row in rows})
    best = max(rows, key=lambda row: row["metrics"].get("val_accuracy", -1))
    assert found.key == best["arch"] and found.val_accuracy == best["metrics"]["val_accuracy"]
    monkeypatch.setattr(discrete_search, "Warmup", None)  # nothing is trained again
    assert kind(**NB201).search() == found


@pytest.mark.slow
def test_short_trainings_score_a_search_and_are_not_done_again() -> None:
    """The same networks for another strategy come from the data home."""
    short = NB201 | {"evaluator": "short-training", "eval_epochs": 1, "evaluations": 3, "workers": 1}
    found = RandomSearcher(**short).search()
    assert found.epochs == 1 and not (found.folder / "supernet.safetensors").exists()
    results = [read_json(file, "result") for file in (found.folder / "evaluations").glob("*/result.json")]
    by_arch = {r["job"]["network"]["arch"]: r["val_accuracy"] for r in results}
    assert {row["arch"]: row["metrics"]["val_accuracy"] for row in trials(found.folder)} == by_arch
    again = RandomSearcher(**short | {"population": 3}).search()
    assert again.folder != found.folder and again.key in by_arch
    known = {row["arch"] for row in trials(again.folder)} & by_arch.keys()
    trained = {f.name for f in (again.folder / "evaluations").glob("*")}
    assert len(trained) == 3 - len(known)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eval_epochs": 2}, "eval_epochs belongs to evaluator='short-training'"),
        ({"evaluator": "short"}, "unknown evaluator 'short'"),
        ({"strategy": "successive-halving"}, "needs trainings of several lengths"),
    ],
)
def test_an_evaluator_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomSearcher(**NB201 | options)


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_with_the_same_architectures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = BayesianSearcher(**NB201, out="whole").search()
    save = vars(stored_search)["save_trials"]

    def killed(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(stored_search, "save_trials", killed)
    with pytest.raises(KeyboardInterrupt):
        BayesianSearcher(**NB201, out="stopped").search()
    monkeypatch.setattr(stored_search, "save_trials", save)
    again = BayesianSearcher(**NB201, out="stopped").search()
    assert trials(again.folder) == trials(whole.folder) and again.key == whole.key


@pytest.mark.slow
def test_what_keeps_no_budget_is_said() -> None:
    with pytest.raises(InfeasibleError, match=r"none of 8 architectures keeps macs<=1;"):
        RandomSearcher(**NB201, budgets=("macs<=1",)).search()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search_epochs": 0}, "RandomSearcher: search_epochs is 0; allowed: from 1"),
        ({"evaluations": 1.5}, "evaluations is 1.5; allowed: whole numbers from 1"),
        ({"strategy": "boo"}, "unknown strategy 'boo'"),
        ({"strategy_options": ("alive=0.5",), "strategy": "evolution"}, "alive must be a whole number"),
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomSearcher(**TINY | options)


def test_pnas_needs_a_space_that_grows_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="those of space darts do not grow"):
        PNASSearcher(**TINY | {"search_space": "darts"}).search()
