"""What a search does when trainings fail: it goes on while there is a pick, else it can be gone on with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.pipeline.main_job import training
from hwnas.pipeline.main_job.candidate import Candidate, Finalist
from hwnas.training.training_job import Trained, TrainingFailed
from targets.errors import TargetError

KILLED = "the training process was ended by SIGKILL (out of memory?), 2 times"


def finalist(name: str, pick: str | None) -> Finalist:
    candidate = Candidate(width=1.0, origin="front", pick=pick, predicted={}, measured={})
    return Finalist(arch_id=name, network={}, candidate=candidate)


NETWORKS = [finalist("a", "fastest"), finalist("b", "accurate"), finalist("c", None)]


def trained_with(failed: set[str], path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The result of the stage `training` where the trainings of these networks fail."""
    job: Any = SimpleNamespace()
    good = Trained(
        job=job,
        val_accuracy=0.9,
        val_loss=0.1,
        val_scores={},
        epochs=(),
        cpu_s=1.0,
        folder=path / "training/x",
    )
    outcomes = {n.arch_id: TrainingFailed(job, KILLED) if n.arch_id in failed else good for n in NETWORKS}
    monkeypatch.setattr(training, "finalists", lambda context: NETWORKS)
    monkeypatch.setattr(training, "plan_epochs", lambda *_: None)
    monkeypatch.setattr(training, "train_finalists", lambda *_: ({}, outcomes))
    monkeypatch.setattr(training, "final_recipe", lambda context: SimpleNamespace(to_json=dict))
    context: Any = SimpleNamespace(
        path=path,
        config=SimpleNamespace(seed=0, continue_from=None),
        run=SimpleNamespace(log=_Log()),
        trains=False,
        score="accuracy",
    )
    return training.train_models(context).result


class _Log:
    def __call__(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


def test_a_failed_network_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = trained_with({"b", "c"}, tmp_path, monkeypatch)["models"]
    assert {model["arch_id"]: model["failure"] for model in models} == {"a": None, "b": KILLED, "c": KILLED}


def test_without_a_pick_the_stage_is_not_done_and_the_way_on_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TargetError) as error:
        trained_with({"a", "b"}, tmp_path, monkeypatch)
    assert "none of the picks (2) could be trained and exported: the training process was ended by" in str(
        error.value
    )
    assert str(error.value).endswith(f"go on with: hwnas search --resume {tmp_path}")
