"""The rounds of a federated training: weights out, weights back, their average; resumable after each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.data import Data, eval_batches
from hwnas.executors import Executor, ExecutorTask, Failed, TaskOutcome
from hwnas.networks.modes import safetensors_bytes
from hwnas.runs.checkpoints import Checkpoints
from hwnas.training.build import build_network
from hwnas.training.initial_weights import begin
from hwnas.training.recipe import Recipe
from hwnas.training.start import start_weights
from hwnas.training.state_file import read_safetensors
from hwnas.training.train import eval_batch, score
from hwnas.training.training_job import Trained, TrainingJob, write_result
from hwnas.training.training_state import EpochStats
from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError, TargetError
from targets.files import sha256, write_atomic

from .average import average
from .local import RESULT, WEIGHTS, shape_of
from .parts import DataPart, Federation

PARTS_FILE = "parts.json"
"""In the folder of the job: what each part said in the end."""

_STAGE, _ROUNDS, _GLOBAL = "rounds", "rounds", "global.safetensors"
_TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a part sent back."""

    part: DataPart
    facts: Mapping[str, Any]
    state: Mapping[str, Tensor]


class FederatedTraining:
    """One network learned on parts of the data, of which only weights, counts and figures are seen.

    job: its `federated` is that of `federation`. data: of whoever leads; they give the classes and the
    normalisation, and their validation images score each round.
    pinned: whether a part has a worker of its own, which offers its resource.
    """

    def __init__(
        self,
        job: TrainingJob,
        federation: Federation,
        data: Data,
        executor: Executor,
        parent: Path,
        *,
        pinned: bool,
        log: Callable[[str], None],
    ) -> None:
        self._job, self._federation, self._data, self._executor = job, federation, data, executor
        self._folder, self._pinned, self._log = job.folder(parent), pinned, log
        self._recipe = Recipe(**job.recipe)
        self._checkpoints = Checkpoints(self._folder / "checkpoints", log)
        self._module = build_network(job.network)
        self._history: list[dict[str, Any]] = []

    @property
    def n_rounds(self) -> int:
        """Of the whole training."""
        return -(-self._recipe.epochs // self._federation.local_epochs)

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
        accuracy, loss = self._validate()
        self._ask_scores()
        trained = Trained(
            job=self._job,
            folder=self._folder,
            val_accuracy=accuracy,
            val_loss=loss,
            val_scores={},
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
        each, began_s = self._federation.local_epochs, time.monotonic()
        epochs = [number * each, min((number + 1) * each, self._recipe.epochs)]
        answers = self._ask("federated-training", f"round {number + 1}", {"epochs": epochs}, self._read)
        if len(answers) < self._federation.min_parts:
            raise TargetError(
                f"round {number + 1} of {self.n_rounds}: {len(answers)} of {len(self._federation.parts)} "
                f"parts came, and min_parts is {self._federation.min_parts}; what {number} rounds made is "
                "kept: the same command goes on when more parts are there"
            )
        counts = [float(answer.facts["n_train"]) for answer in answers]
        self._module.load_state_dict(average([answer.state for answer in answers], counts))
        accuracy, _ = self._validate()
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

    def _validate(self) -> tuple[float, float]:
        batches = eval_batches(self._data, "val", eval_batch(self._data.area))
        return score(self._module, batches, self._data.task)

    def _ask_scores(self) -> None:
        """`PARTS_FILE`: the score of the network on the test images of every part that answers."""
        answers = dict(
            self._ask("federated-score", "the scores", {}, lambda part, at: (part.name, _facts(at)))
        )
        document = {
            "parts": {part.name: answers.get(part.name) for part in self._federation.parts},
            "rounds": [{"round": i + 1, "parts": row["parts"]} for i, row in enumerate(self._history)],
        }
        write_checksummed(self._folder / PARTS_FILE, document)

    def _ask(
        self, kind: str, what: str, document: Mapping[str, Any], read: Callable[[DataPart, Path], Any]
    ) -> list[Any]:
        """What the parts answer in time, in their order; those that do not are named."""
        weights = self._folder / _GLOBAL
        write_atomic(weights, safetensors_bytes(self._module))
        parts = self._federation.parts
        outcomes = self._outcomes({part.name: self._task(kind, part, weights, document) for part in parts})
        answers = []
        for part in parts:
            outcome = outcomes[part.name]
            reason = outcome.reason if isinstance(outcome, Failed) else None
            if reason is None:
                try:
                    answers.append(read(part, self._folder / _ROUNDS / part.name))
                except DamagedFileError as error:
                    reason = str(error)
            if reason is not None:
                self._log(f"{what} goes on without part {part.name}: {reason}")
        return answers

    def _task(self, kind: str, part: DataPart, weights: Path, document: Mapping[str, Any]) -> ExecutorTask:
        job = self._job
        data = {"image_size": self._data.image_size, "seed": job.seed, "root": job.data["root"], **part.data}
        return ExecutorTask(
            kind=kind,
            name=part.name,
            document={
                **document,
                "part": part.name,
                "data": data,
                "network": dict(job.network),
                "recipe": dict(job.recipe),
                "seed": job.seed,
                "shape": shape_of(self._data),
                "weights": str(weights),
            },
            folder=self._folder / _ROUNDS / part.name,
            files=[["weights"]],
            resources={part.resource: 1.0} if self._pinned else {},
        )

    def _outcomes(self, tasks: Mapping[str, ExecutorTask]) -> dict[str, TaskOutcome]:
        """By part. What is not there in time is taken back, and has failed."""
        wait_s = self._federation.wait_s
        late = Failed(f"it did not answer in {wait_s:g} s")
        outcomes: dict[str, TaskOutcome] = dict.fromkeys(tasks, late)
        waiting, flying = deque(tasks), dict[Future[TaskOutcome], str]()
        width, until = self._executor.width(list(tasks.values())), time.monotonic() + wait_s
        try:
            while (waiting or flying) and time.monotonic() < until:
                while waiting and len(flying) < width:
                    name = waiting.popleft()
                    flying[self._executor.submit(tasks[name], lambda progress: None)] = name
                for future in wait(flying, _TICK_S, FIRST_COMPLETED).done:
                    outcomes[flying.pop(future)] = future.result()
                self._executor.check()
            if flying:
                self._executor.abort()
        except BaseException:  # raised again
            self._executor.abort()
            raise
        return outcomes

    def _read(self, part: DataPart, folder: Path) -> _Answer:
        """What a part made of the weights; DamagedFileError where that is no state of the network."""
        facts = _facts(folder)
        path = folder / WEIGHTS
        raw = path.read_bytes()
        if sha256(raw) != facts["weights_sha256"]:
            raise DamagedFileError("its weights do not match their checksum")
        state, own = read_safetensors(raw, path), self._module.state_dict()
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in own.items()}:
            raise DamagedFileError("its weights are of another network")
        if not all(bool(torch.isfinite(v).all()) for v in state.values()):
            raise DamagedFileError("its weights are not all finite")
        if not (isinstance(facts["n_train"], int) and facts["n_train"] > 0):
            raise DamagedFileError(f"it says that it has {facts['n_train']!r} images")
        return _Answer(part, facts, state)


def _facts(folder: Path) -> dict[str, Any]:
    return read_checksummed(folder / RESULT, "the answer of a part")
