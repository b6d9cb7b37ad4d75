"""Tasks for the parts of a federation: each goes to the worker that holds the part, files come back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwnas.data import Data
from hwnas.executors import Executor, ExecutorTask, Failed, TaskOutcome
from hwnas.training.state_file import read_safetensors
from targets.checksummed import read_checksummed
from targets.errors import DamagedFileError, TargetError
from targets.files import sha256, write_atomic

from .local import RESULT, WEIGHTS, shape_of
from .parts import DataPart, Federation

_ROUNDS, _GLOBAL = "rounds", "global.safetensors"
_TICK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who is asked, and who asks.

    data: of whoever leads; they give the classes and the normalisation. root: of data sets that have a name.
    pinned: whether a part has a worker of its own, which offers its resource.
    log: gets the names of parts that did not answer, and why.
    """

    federation: Federation
    data: Data
    seed: int
    root: str
    executor: Executor
    pinned: bool
    log: Callable[[str], None]

    def ask(
        self,
        kind: str,
        what: str,
        document: Mapping[str, Any],
        folder: Path,
        read: Callable[[DataPart, Path], Any],
        weights: bytes | None = None,
    ) -> list[Any]:
        """What the parts answer in time, in their order; those that do not are named.

        kind: a row of `hwnas.executors.WORK`. what: for messages. folder: of what goes and comes.
        read: (part, its folder) -> its answer; DamagedFileError where it is none.
        weights: that go along, as a safetensors file.
        """
        if weights is not None:
            write_atomic(folder / _GLOBAL, weights)
            document = {**document, "weights": str(folder / _GLOBAL)}
        parts = self.federation.parts
        outcomes = self._outcomes({part.name: self._task(kind, part, document, folder) for part in parts})
        answers = []
        for part in parts:
            outcome = outcomes[part.name]
            reason = outcome.reason if isinstance(outcome, Failed) else None
            if reason is None:
                try:
                    answers.append(read(part, folder / _ROUNDS / part.name))
                except DamagedFileError as error:
                    reason = str(error)
            if reason is not None:
                self.log(f"{what} goes on without part {part.name}: {reason}")
        return answers

    def require_enough(self, n: int, what: str) -> None:
        """TargetError where fewer parts came than a round needs."""
        federation = self.federation
        if n < federation.min_parts:
            raise TargetError(
                f"{what}: {n} of {len(federation.parts)} parts came, and min_parts is "
                f"{federation.min_parts}; what was done before is kept: when more are there, a training goes "
                "on by the same command, a search by --resume"
            )

    def _task(self, kind: str, part: DataPart, document: Mapping[str, Any], folder: Path) -> ExecutorTask:
        data = {"image_size": self.data.image_size, "seed": self.seed, "root": self.root, **part.data}
        return ExecutorTask(
            kind=kind,
            name=part.name,
            document={
                **document,
                "part": part.name,
                "data": data,
                "seed": self.seed,
                "shape": shape_of(self.data),
            },
            folder=folder / _ROUNDS / part.name,
            files=[["weights"]] if "weights" in document else [],
            resources={part.resource: 1.0} if self.pinned else {},
        )

    def _outcomes(self, tasks: Mapping[str, ExecutorTask]) -> dict[str, TaskOutcome]:
        """By part. What is not there in time is taken back, and has failed."""
        wait_s = self.federation.wait_s
        late = Failed(f"it did not answer in {wait_s:g} s")
        outcomes: dict[str, TaskOutcome] = dict.fromkeys(tasks, late)
        waiting, flying = deque(tasks), dict[Future[TaskOutcome], str]()
        width, until = self.executor.width(list(tasks.values())), time.monotonic() + wait_s
        try:
            while (waiting or flying) and time.monotonic() < until:
                while waiting and len(flying) < width:
                    name = waiting.popleft()
                    flying[self.executor.submit(tasks[name], lambda progress: None)] = name
                for future in wait(flying, _TICK_S, FIRST_COMPLETED).done:
                    outcomes[flying.pop(future)] = future.result()
                self.executor.check()
            if flying:
                self.executor.abort()
        except BaseException:  # raised again
            self.executor.abort()
            raise
        return outcomes


def facts_of(folder: Path) -> dict[str, Any]:
    """The figures that a part sent back."""
    return read_checksummed(folder / RESULT, "the answer of a part")


def read_state(folder: Path, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Figures and tensors that a part sent back; DamagedFileError where they are not as `wanted`."""
    facts = facts_of(folder)
    path = folder / WEIGHTS
    raw = path.read_bytes()
    if sha256(raw) != facts["weights_sha256"]:
        raise DamagedFileError("its weights do not match their checksum")
    state = read_safetensors(raw, path)
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in wanted.items()}:
        raise DamagedFileError("its weights are of another network")
    if not all(bool(torch.isfinite(v).all()) for v in state.values()):
        raise DamagedFileError("its weights are not all finite")
    if not (isinstance(facts["n_train"], int) and facts["n_train"] > 0):
        raise DamagedFileError(f"it says that it has {facts['n_train']!r} images")
    return facts, state
