"""What the file of a module takes and gives: an image and logits, unless the module says otherwise.

Loads no torch until it makes a tensor, because who reads files needs its names too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE, LOGITS = "image", "logits"
STATE, NEXT_STATE = "state", "next_state"
"""A file with these is called again and again: the state that it gives is given to the next call."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a file takes and gives.

    inputs: an example of each by name, in the order of the module's arguments.
    outputs: their names.
    highest: of inputs that are whole numbers, so that what measures the file feeds numbers that it can take.
    """

    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    highest: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Signed(Protocol):
    """A module that is no network of one image."""

    def signature(self, batch: int) -> Signature:
        """Of its file, for so many samples per call."""

    def example(self, batch: int) -> Tensor:
        """A batch of zeros as it is trained on."""


def signature_of(
    module: nn.Module,
    input_shape: Sequence[int],
    names: tuple[str, str],
    more_inputs: Sequence[Sequence[int]] = (),
) -> Signature:
    """That of the module itself, else one tensor of `input_shape` and those of `more_inputs`.

    names: of the first input and the output.
    """
    if isinstance(module, Signed):
        return cast(Signed, module).signature(input_shape[0])
    import torch

    more = {f"{names[0]}_{i}": torch.zeros(tuple(shape)) for i, shape in enumerate(more_inputs, 1)}
    return Signature({names[0]: torch.zeros(tuple(input_shape)), **more}, (names[1],))


def example_of(module: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """A batch of zeros as the module is trained on. input_shape: of images."""
    if isinstance(module, Signed):
        return cast(Signed, module).example(input_shape[0])
    import torch

    return torch.zeros(tuple(input_shape))
