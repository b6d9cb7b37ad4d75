"""The rounds in which parts train shared weights together; a `Resumable`, whose steps are the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from hwnas.core.network_space import NetworkSpace
from hwnas.gradient.loop import LogRow, Loop, Save
from hwnas.gradient.step.optim import tensors_of, under
from hwnas.networks.modes import state_of
from targets.checksummed import read_checksummed, write_checksummed

from .average import average_where_trained
from .calls import Parts, facts_of, read_state
from .local_supernet import TRAINED
from .parts import DataPart

SUPERNET_PARTS = "supernet-parts.json"
"""In the run: how many training images each part had at the start, and how many rounds follow from that."""

_Answer = tuple[str, dict[str, Any], dict[str, Tensor]]


def rounds_of(parts: Parts, steps: int, batch_size: int, folder: Path) -> int:
    """After how many rounds a part has made about `steps` steps, in the mean; asked once and written down.

    folder: of the run. TargetError where too few parts answer.
    """
    path = folder / SUPERNET_PARTS
    if not path.exists():
        what = "the count of the images"
        sizes = dict(
            parts.ask(
                "federated-sizes",
                what,
                {"batch_size": batch_size},
                folder / "supernet-rounds",
                lambda part, at: (part.name, facts_of(at)),
            )
        )
        parts.require_enough(len(sizes), what)
        per_round = parts.federation.local_epochs * float(np.mean([s["steps"] for s in sizes.values()]))
        document = {
            "rounds": max(1, round(steps / per_round)),
            "images": {name: size["n_train"] for name, size in sizes.items()},
        }
        write_checksummed(path, document)
    return int(read_checksummed(path, "the parts of the supernet")["rounds"])


class FederatedWarmup:
    """Shared weights trained by uniform single paths on parts of the data, and averaged after each round.

    Each part draws paths of its own; a weight is averaged over the parts that trained it
    (`average_where_trained`).

    supernet: with the weights to begin with; each round changes it. n_rounds: of the whole training.
    folder: of what goes to the parts and comes back. batch_size: of their steps.
    """

    def __init__(
        self,
        parts: Parts,
        space: NetworkSpace,
        supernet: nn.Module,
        *,
        n_rounds: int,
        batch_size: int,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.supernet = supernet
        self.attendance: list[list[str]] = []
        self._parts, self._space, self._batch_size, self._folder = parts, space, batch_size, folder
        self._figures: LogRow = {}
        self.loop = Loop(
            steps=n_rounds,
            epoch_steps=1,
            one_step=self._round,
            end_epoch=lambda step: self._figures,
            identity={"space": space.name, "federated": parts.federation.identity(), "seed": parts.seed},
            clock=clock,
        )

    def run(
        self,
        *,
        until: int | None = None,
        on_step: Callable[[int], None] | None = None,
        save: Save | None = None,
        save_every: int = 1,
    ) -> None:
        """Every round that is left, a checkpoint after each: minutes of others would be lost otherwise."""
        self.loop.run(self.state, until, on_step, save, 1)

    @property
    def log(self) -> list[LogRow]:
        """The rows of train_stats.csv so far; their steps are those of the part that made most."""
        return self.loop.log

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values from which `load` goes on."""
        return tensors_of(self.supernet, "supernet."), {**self.loop.state(), "attendance": self.attendance}

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from what `state()` gave; DamagedFileError when it is of another training."""
        self.loop.load(state)
        self.supernet.load_state_dict(under("supernet.", tensors))
        self.attendance = [list(names) for names in state["attendance"]]

    def _round(self, number: int) -> None:
        """Let all parts train, and take the average."""
        each, total = self._parts.federation.local_epochs, self.loop.steps
        document = {
            "space": self._space.spec(),
            "batch_size": self._batch_size,
            "epochs": [number * each, (number + 1) * each],
            "n_epochs": total * each,
        }
        before, what = state_of(self.supernet), f"round {number + 1} of {total} of the shared weights"
        wanted = before | {f"{TRAINED}{n}": p for n, p in self.supernet.named_parameters()}

        def read(part: DataPart, at: Path) -> _Answer:
            return part.name, *read_state(at, wanted)

        answers: list[_Answer] = self._parts.ask(
            "federated-supernet", what, document, self._folder, read, save(before)
        )
        self._parts.require_enough(len(answers), what)
        trained = [under(TRAINED, tensors) for _, _, tensors in answers]
        with torch.no_grad():
            self.supernet.load_state_dict(
                average_where_trained(before, [tensors for *_, tensors in answers], trained)
            )
        self.attendance.append([name for name, *_ in answers])
        facts, images = [f for _, f, _ in answers], [f["n_train"] for _, f, _ in answers]
        self._figures = {
            "stage": "supernet",
            "step": (number + 1) * max(int(f["steps"]) for f in facts),
            "train_loss": float(np.average([f["train_loss"] for f in facts], weights=images)),
            "train_accuracy": float(np.average([f["train_accuracy"] for f in facts], weights=images)),
        }
