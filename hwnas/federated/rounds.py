"""The rounds of a federated training: weights out, weights back, their average; resumable after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hwnas.data import eval_batches
from hwnas.networks.modes import safetensors_bytes
from hwnas.runs.checkpoints import Checkpoints
from hwnas.training.build import build_network
from hwnas.training.initial_weights import begin
from hwnas.training.recipe import Recipe
from hwnas.training.rounding import score_rounded
from hwnas.training.start import start_weights
from hwnas.training.train import eval_batch, scores
from hwnas.training.training_job import Trained, TrainingJob, write_result
from hwnas.training.training_state import EpochStats
from targets import Int8Form
from targets.checksummed import write_checksummed

from .average import average
from .calls import Parts, facts_of, read_state
from .parts import DataPart

PARTS_FILE = "parts.json"
"""In the folder of the job: what each part said in the end."""

_STAGE = "rounds"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a part sent back."""

    part: DataPart
    facts: Mapping[str, Any]
    state: Mapping[str, Tensor]


class FederatedTraining:
    """One network learned on parts of the data, of which only weights, counts and figures are seen.

    job: its `federated` is that of the federation of `parts`, whose data score each round on validation
    images.
    """

    def __init__(self, job: TrainingJob, parts: Parts, parent: Path) -> None:
        self._job, self._parts, self._folder = job, parts, job.folder(parent)
        self._recipe = Recipe(**job.recipe)
        self._checkpoints = Checkpoints(self._folder / "checkpoints", parts.log)
        self._module = build_network(job.network)
        self._history: list[dict[str, Any]] = []

    @property
    def n_rounds(self) -> int:
        """Of the whole training."""
        return -(-self._recipe.epochs // self._parts.federation.local_epochs)

    def run(self, on_round: Callable[[int, int], None] = lambda done, total: None) -> Trained:
        """Every round that is not done, and the result.

        on_round: called with (rounds done, all rounds). TargetError where too few parts come: the same call
        goes on from the last round.
        """
        began = time.process_time()
        self._restore()
        on_round(len(self._history), self.n_rounds)
        while len(self._history) < self.n_rounds:
            self._history.append(self._round(len(self._history)))
            self._checkpoints.save(
                _STAGE, len(self._history), self._module.state_dict(), {"history": self._history}
            )
            on_round(len(self._history), self.n_rounds)
        accuracy, loss, *others = self._final_scores()
        self._ask_scores()
        trained = Trained(
            job=self._job,
            folder=self._folder,
            val_accuracy=accuracy,
            val_loss=loss,
            val_scores=dict(zip(self._parts.data.task.scores, others, strict=True)),
            epochs=tuple(
                EpochStats(**{k: v for k, v in row.items() if k != "parts"}) for row in self._history
            ),
            cpu_s=time.process_time() - began,
        )
        write_result(trained, safetensors_bytes(self._module))
        self._checkpoints.delete(_STAGE)
        return trained

    def _restore(self) -> None:
        start = None if self._job.start is None else start_weights(self._job.start, self._job.network)
        begin(self._module, self._job.seed, start, residual_init=self._recipe.residual_init)
        saved = self._checkpoints.load(_STAGE)
        if saved is not None:
            _, tensors, state = saved
            self._module.load_state_dict(tensors)
            self._history = list(state["history"])

    def _round(self, number: int) -> dict[str, Any]:
        """One round: the module becomes the average of what the parts made of it; its row of the history."""
        each, began_s = self._parts.federation.local_epochs, time.monotonic()
        epochs = [number * each, min((number + 1) * each, self._recipe.epochs)]
        answers = self._ask("federated-training", f"round {number + 1}", {"epochs": epochs}, self._read)
        self._parts.require_enough(len(answers), f"round {number + 1} of {self.n_rounds}")
        counts = [float(answer.facts["n_train"]) for answer in answers]
        self._module.load_state_dict(average([answer.state for answer in answers], counts))
        accuracy = self._scores()[0]
        before = self._history[-1] if self._history else {"step": 0, "seconds": 0.0}

        def mean(key: str) -> float:
            return float(np.average([a.facts[key] for a in answers], weights=counts))

        return {
            "epoch": number,
            "step": before["step"] + max(int(a.facts["steps"]) for a in answers),
            "train_loss": mean("train_loss"),
            "train_accuracy": mean("train_accuracy"),
            "seconds": before["seconds"] + time.monotonic() - began_s,
            "val_accuracy": accuracy,
            "parts": {answer.part.name: int(answer.facts["n_train"]) for answer in answers},
        }

    def _scores(self) -> tuple[float, ...]:
        data = self._parts.data
        return scores(self._module, eval_batches(data, "val", eval_batch(data.area)), data.task)

    def _final_scores(self) -> tuple[float, ...]:
        """In the form of the job."""
        if self._job.form is None:
            return self._scores()
        return score_rounded(self._module, self._parts.data, Int8Form.from_json(self._job.form))

    def _ask_scores(self) -> None:
        """`PARTS_FILE`: the score of the network on the test images of every part that answers."""
        answers = dict(
            self._ask("federated-score", "the scores", {}, lambda part, at: (part.name, facts_of(at)))
        )
        document = {
            "parts": {part.name: answers.get(part.name) for part in self._parts.federation.parts},
            "rounds": [{"round": i + 1, "parts": row["parts"]} for i, row in enumerate(self._history)],
        }
        write_checksummed(self._folder / PARTS_FILE, document)

    def _ask(
        self, kind: str, what: str, document: Mapping[str, Any], read: Callable[[DataPart, Path], Any]
    ) -> list[Any]:
        document = {**document, "network": dict(self._job.network), "recipe": dict(self._job.recipe)}
        return self._parts.ask(kind, what, document, self._folder, read, safetensors_bytes(self._module))

    def _read(self, part: DataPart, folder: Path) -> _Answer:
        """What a part made of the weights; DamagedFileError where that is no state of the network."""
        return _Answer(part, *read_state(folder, self._module.state_dict()))
