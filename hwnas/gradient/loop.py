"""The loop around the steps of a training: it counts, logs and saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from hwnas.core.budget import METRICS
from targets.errors import DamagedFileError, UsageError

from .step.optim import require_number
from .step.passes import Pass

Save = Callable[[int, dict[str, Tensor], dict[str, Any]], None]
"""Stores (step, tensors, JSON state) of a checkpoint."""

LogRow = dict[str, float | int | str | None]

_READ_EVERY = 20

COLUMNS = (
    "stage",
    "epoch",
    "step",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "expected_latency_ms",
    "entropy",
    "multiplier",
    "seconds",
    "skips",
    *(f"expected_{metric}" for metric in METRICS if metric != "latency_ms"),
)
"""Columns of train_stats.csv. entropy: in nats, mean over the choices. multiplier: the largest.
skips: how many skip connections the discretised policy has."""


def read_every(device: torch.device) -> int:
    """After how many steps on a device their losses are read."""
    return 1 if device.type == "cpu" else _READ_EVERY


class Loop:
    """Runs `one_step` until the budget of steps is used; every `epoch_steps` a row of the log.

    steps: how many the training has.
    epoch_steps: steps per row of the log.
    one_step: makes the step of a number, from 0.
    end_epoch: gives the columns of a row about stage, validation and policy.
    identity: what must agree with a checkpoint for it to be this training's.
    clock: seconds.
    read_every: after how many steps their losses are read. Reading waits for a GPU, which idles afterwards.
    """

    def __init__(
        self,
        steps: int,
        epoch_steps: int,
        one_step: Callable[[int], Pass | None],
        end_epoch: Callable[[int], LogRow],
        identity: Mapping[str, Any],
        clock: Callable[[], float],
        read_every: int = 1,
    ) -> None:
        if steps < 1 or epoch_steps < 1:
            raise UsageError(f"steps and epoch_steps must be at least 1, got {steps} and {epoch_steps}")
        self.steps, self.epoch_steps = steps, epoch_steps
        self._one_step, self._end_epoch, self._clock = one_step, end_epoch, clock
        self._read_every = read_every
        self._unread: list[Tensor] = []
        self._identity = {**identity, "steps": steps, "epoch_steps": epoch_steps}
        self.step = 0
        self.stopped = False
        self.log: list[LogRow] = []
        self._sums = dict.fromkeys(("loss", "accuracy", "n", "seconds"), 0.0)

    def run(
        self,
        state: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]],
        until: int | None,
        on_step: Callable[[int], None] | None,
        save: Save | None,
        save_every: int,
    ) -> None:
        """Steps up to `until` (None: all). Between steps all is consistent, so `on_step` may raise."""
        last = self.steps if until is None else min(until, self.steps)
        while self.step < last and not self.stopped:
            began = self._clock()
            result = self._one_step(self.step)
            self.step += 1
            self._count(result)
            self._sums["seconds"] += self._clock() - began
            if self.step % self.epoch_steps == 0 or self.step == self.steps:
                self._add_row()
            if save is not None and (self.step % save_every == 0 or self.step == last or self.stopped):
                save(self.step, *state())
            if on_step is not None:
                on_step(self.step)

    def stop(self) -> None:
        """Make no further step."""
        self.stopped = True

    def _count(self, result: Pass | None) -> None:
        if result is not None:
            self._unread.append(torch.stack([result.loss, result.accuracy]))
        if len(self._unread) >= self._read_every:
            self._read()

    def _read(self) -> None:
        """Add up the results of the steps since the last time; DivergedError where a loss is no number."""
        unread, self._unread = self._unread, []
        for loss, accuracy in torch.stack(unread).tolist() if unread else ():
            require_number(loss, f"a step up to {self.step} of {self.steps}")
            self._sums["loss"] += loss
            self._sums["accuracy"] += accuracy
            self._sums["n"] += 1

    def _add_row(self) -> None:
        self._read()
        n = max(1.0, self._sums["n"])
        row: LogRow = {
            **dict.fromkeys(COLUMNS),
            "epoch": len(self.log) + 1,
            "step": self.step,
            "train_loss": self._sums["loss"] / n,
            "train_accuracy": self._sums["accuracy"] / n,
            "seconds": self._sums["seconds"],
        }
        self.log.append(row | self._end_epoch(self.step))
        self._sums = dict.fromkeys(self._sums, 0.0)

    def state(self) -> dict[str, Any]:
        """JSON values from which `load` continues."""
        self._read()
        return {
            "identity": dict(self._identity),
            "step": self.step,
            "stopped": self.stopped,
            "log": [dict(row) for row in self.log],
            "sums": dict(self._sums),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`; DamagedFileError when it is of another training."""
        saved = state["identity"]
        differs = sorted(k for k in {*self._identity, *saved} if saved.get(k) != self._identity.get(k))
        if differs:
            theirs = ", ".join(
                f"{k} = {saved.get(k)!r} instead of {self._identity.get(k)!r}" for k in differs
            )
            raise DamagedFileError(
                f"the checkpoint is of another training: {theirs}; resume with the settings of the run, or "
                "delete the checkpoint to start again"
            )
        self.step, self.stopped = state["step"], state["stopped"]
        self.log = [dict(row) for row in state["log"]]
        self._sums, self._unread = dict(state["sums"]), []
