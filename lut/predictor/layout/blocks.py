"""Which tensors of a network exist in blocks of channels, and the reorderings between the two layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rule import LayoutRule
from .steps import NCHWC, KernelGraph, KernelStep


@dataclass
class BlockedTensor:
    """A tensor in blocks.

    step, name: what writes it, and what it is called there.
    channels: of the original, without padding.
    uses: how often the original is read.
    left: reads that still want the original.
    """

    step: KernelStep
    name: str
    channels: int
    uses: int
    left: int

    def take(self) -> str:
        """Its name, for a reader that has moved to blocks."""
        self.left -= 1
        return self.name


class BlockedTensors:
    """The blocked tensors of a network under rewriting, by the names of the originals."""

    def __init__(self, net: KernelGraph, rule: LayoutRule) -> None:
        """`net` is changed in place."""
        self.net, self.rule = net, rule
        self._blocked: dict[str, BlockedTensor] = {}
        self._reordered: dict[str, str] = {}
        self._producer = {name: step for step in net.steps for name in step.writes}

    def get(self, name: str) -> BlockedTensor | None:
        """The blocked form of a tensor, if it has tensor."""
        return self._blocked.get(name)

    def all_of(self, step: KernelStep) -> list[BlockedTensor]:
        """The blocked forms of all inputs of a step; empty unless all have tensor."""
        inputs = [self._blocked[name] for name in step.reads if name in self._blocked]
        return inputs if len(inputs) == len(step.reads) else []

    def is_given(self, name: str) -> bool:
        """Whether a tensor is blocked or comes from outside of the network."""
        return name in self._blocked or name not in self._producer

    def image(self, name: str) -> str:
        """The blocked form of a tensor for one reader; reordered once where it is in the plain layout."""
        if name in self._blocked:
            return self._blocked[name].take()
        if name not in self._reordered:
            n, c, h, w = self.net.shape(name)
            self._reordered[name] = self.net.tensor(name, "blocked", [n, self.rule.padded(c), h, w])
            self._reorder_input(name, self._reordered[name])
        return self._reordered[name]

    def _reorder_input(self, name: str, blocked: str) -> None:
        """A transposition from channels last that nothing else reads becomes part of the reordering."""
        before = self._producer.get(name)
        last = (
            before is not None
            and before.op == "Transpose"
            and before.attributes.get("perm") == [0, 3, 1, 2]
            and self.net.uses(name) == 1
        )
        if before is not None and last:
            self.net.remove(before)
            name = before.reads[0]
        self.net.add("ReorderInput", NCHWC, {"channels_last": int(last)}, [name], [blocked])

    def replace(
        self, step: KernelStep, op: str, attributes: Mapping[str, Any], reads: Sequence[str], channels: int
    ) -> None:
        """A blocked operation in place of `step`."""
        self.net.remove(step)
        blocked = self.net.add(op, NCHWC, dict(attributes), list(reads), [self.result(step, channels)])
        self.register(step.writes[0], blocked, channels)

    def keep(self, step: KernelStep, inputs: Sequence[BlockedTensor], channels: int) -> None:
        """The same step on blocked tensors."""
        step.reads = [tensor.take() for tensor in inputs]
        original, step.writes = step.writes[0], [self.result(step, channels)]
        self.register(original, step, channels)

    def absorb(self, step: KernelStep, tensor: BlockedTensor) -> None:
        """`step` becomes part of the step that made `tensor`."""
        self.net.remove(step)
        self.register(step.writes[0], tensor.step, tensor.channels)

    def register(self, original: str, step: KernelStep, channels: int) -> None:
        """From now on `original` exists in blocks: `step` writes it."""
        uses = self.net.uses(original)
        self._blocked[original] = BlockedTensor(
            step=step, name=step.writes[0], channels=channels, uses=uses, left=uses
        )

    def result(self, step: KernelStep, channels: int) -> str:
        """The blocked form of what a step writes."""
        n, _, *size = self.net.shape(step.writes[0])
        return self.net.tensor(step.writes[0], "blocked", [n, self.rule.padded(channels), *size])

    def reorder_outputs(self) -> None:
        """Give back to the rest of the network what it wants in the plain layout."""
        for original, tensor in self._blocked.items():
            if tensor.left > 0:
                attributes = {"channels": tensor.channels, "channels_last": 0}
                self.net.add("ReorderOutput", NCHWC, attributes, [tensor.name], [original])
