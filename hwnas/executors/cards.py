"""The CUDA devices of this machine: their free memory, and which one a process sees."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from .memory import affordable
from .task import ExecutorTask

CONTEXT_BYTES = 700_000_000
"""A process's own memory on a card, besides what its tensors take: the context and the kernels of libraries.

400 to 600 MB are usual; it was not measured here.
"""


def free_card_bytes() -> list[int]:
    """Free memory of every CUDA device that torch finds here, in its order."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]


def is_on_card(task: ExecutorTask) -> bool:
    """Whether a task computes on a CUDA device."""
    return task.device.startswith("cuda")


def cards_of(task: ExecutorTask, n_cards: int) -> list[int]:
    """The cards that a task may be done on: the one that it names, or all."""
    _, _, number = task.device.partition(":")
    return [int(number)] if number else list(range(n_cards))


def places_on_cards(
    tasks: Sequence[ExecutorTask],
    n_wanted: int,
    free_bytes: Sequence[int],
    idle: Callable[[int], int],
    log: Callable[[str], None],
) -> int:
    """How many of the tasks fit onto their cards side by side, at most `n_wanted`, at least one per card.

    free_bytes: per card. idle: how many processes wait on a card, whose own memory is taken already.
    """
    cards = [card for card in cards_of(tasks[0], len(free_bytes)) if card < len(free_bytes)]
    if not cards:
        return n_wanted
    needs = [task.device_bytes() for task in tasks]
    shares = [len(range(first, n_wanted, len(cards))) for first in range(len(cards))]
    fitting = 0
    for card, share in zip(cards, shares, strict=True):
        if share:
            available = free_bytes[card] + CONTEXT_BYTES * idle(card)
            fitting += affordable(needs, share, available, partial(_of_card, log, card))
    return fitting


def _of_card(log: Callable[[str], None], card: int, text: str) -> None:
    log(f"cuda:{card}: {text}")


def environment_of(card: int | None) -> dict[str, str]:
    """What lets a process see this card alone; None: all that this process sees."""
    if card is None:
        return {}
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": visible[card] if card < len(visible) else str(card)}
