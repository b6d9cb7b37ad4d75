"""What a short training depends on: two searches share evaluations where this is equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hwnas.data.identity import data_identity
from hwnas.training.recipe import TRAINING_VERSION
from targets.files import digest_of

if TYPE_CHECKING:
    from hwnas.core.network_space import NetworkSpace
    from hwnas.data import Data

FRESH = "fresh"
"""Weights at the start that are drawn from the seed."""


def evaluation_identity(
    *,
    space: NetworkSpace,
    data: Data,
    recipe: Mapping[str, Any],
    seed: int,
    start: str,
    device: str,
    form: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """As JSON.

    space: the architectures and what they are built of.
    data: images, classes and their split.
    recipe: of the short training.
    seed: of its weights and batches.
    start: `FRESH`, or what names the weights that it begins with.
    device: where it computes, `cpu` or `cuda`: the figures of the two differ in their last digits.
    form: of the 8 bits in which it is scored; None for floats.
    """
    import torch

    return {
        "space": {"id": space.space_id, "structure": _structure(space)},
        "data": data_identity(data),
        "recipe": dict(recipe),
        "seed": seed,
        "start": start,
        "device": device,
        **({} if form is None else {"form": dict(form)}),
        "versions": {"torch": ".".join(torch.__version__.split(".")[:2]), "training": TRAINING_VERSION},
    }


def _structure(space: NetworkSpace) -> str:
    """Of the choices, and of the block that each combination of options puts at each position."""
    choices = [[choice.name, list(choice.options)] for choice in space.choices]
    positions = [
        [list(p.choices), p.keys.tolist(), *([list(map(list, p.readers))] if p.readers else [])]
        for p in space.positions
    ]
    return digest_of([choices, positions])
