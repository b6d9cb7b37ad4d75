"""The macro space `mobile`: stem, stages of MBConv-like blocks, head (ProxylessNAS, section 4).

Per stage one choice of width and, per layer, one choice of operation; every layer but a stage's
first may also be skipped, so depth is searched too. The stages come from a TOML file.

Scaling to the image: the first `n_down` strides of the file are kept (the final map is 4 to 7
pixels wide), depths shrink with n_down / 5, and the default width with image_size / 64.

The space `proxyless` is the same with the stages of the paper, `proxyless.toml`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hwnas.core.choice import Arch, Choice
from hwnas.core.network_space import NetworkSpace, Scale
from hwnas.core.position import Position
from hwnas.networks.front_blocks import FrontBlock
from hwnas.networks.head_shapes import HeadShapes
from hwnas.networks.heads import HEADS, HeadBlock
from hwnas.networks.mobile_blocks import MobileBlock, Operation
from hwnas.networks.mobile_layers import MobileNetwork
from hwnas.networks.modules import module_of
from lut.predictor.models.quantise import FRONT_END
from targets.errors import UsageError

from .mobile_definition import SKIP, MobileDefinition, MobileStage
from .plain import plain_networks

_PLAIN = Operation("none")

AnyBlock = HeadBlock | FrontBlock


def n_down(image_size: int) -> int:
    """How many stride-2 steps an image of that side gets: the last map is 4 to 7 pixels wide."""
    return min(5, max(1, round(math.log2(image_size / 5))))


def default_width_mult(image_size: int) -> float:
    """Small images carry less detail: half width at 32 px and below, full width from 64 px."""
    return min(1.0, max(0.5, image_size / 64))


def scaled_channels(channels: int, width_mult: float) -> int:
    """The nearest multiple of 8, at least 8 (MobileNetV2's rounding without its 10 % rule)."""
    return max(8, int(channels * width_mult + 4) // 8 * 8)


@dataclass(frozen=True, slots=True)
class InnerMap:
    """The map of an inner stride, which some heads read.

    stage: index of the stage that it leaves; None: the stem.
    width_choice: of that stage; None of the stem. widths: its numbers of channels. size: its side in pixels.
    """

    stage: int | None
    width_choice: int | None
    widths: tuple[int, ...]
    size: int

    @property
    def most_bytes(self) -> int:
        """Its fp32 bytes at its greatest width: what waits for the head while the blocks between run."""
        return 4 * max(self.widths) * self.size**2


class MobileSpace(NetworkSpace):
    """See the module's docstring; `load_space('mobile', …)` makes one."""

    def __init__(
        self, definition: MobileDefinition, scale: Scale, file: str | None = None, name: str = "mobile"
    ) -> None:
        """file: the path of a user's stage file, which `spec` names; None for a space of the package."""
        self.scale, self.definition, self._file = scale, definition, file
        self.stages, choices = _scale_stages(definition, scale)
        super().__init__(name, choices)
        self.stem_channels = scaled_channels(definition.stem_channels, scale.width_mult)
        self.head_channels = scaled_channels(definition.head_channels, scale.width_mult)
        self.operations = {
            name: Operation.parse(name) for c in choices for name in c.options if "." in c.name
        }
        self.head = HEADS[scale.head]
        self.inner = None if self.head.inner is None else self._inner_map(self.head.inner)
        self._trunk: dict[str, MobileBlock] = {}
        self._blocks: dict[str, AnyBlock] = {}
        self.positions = (*self._front_position(), *self._positions())

    @property
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """`w0.5`: the width multiplier."""
        return f"w{self.scale.width_mult:g}", {"width_mult": self.scale.width_mult}

    def canonical(self, arch: Arch) -> Arch:
        """Skipped layers move to the end of their stage: the layers of a stage have equal shapes."""
        for first, end, skip in self._skipped:
            ops = arch[first:end]
            if skip in ops[:-1]:
                kept = tuple(op for op in ops if op != skip)
                arch = (*arch[:first], *kept, *(skip,) * (len(ops) - len(kept)), *arch[end:])
        return arch

    @cached_property
    def _skipped(self) -> list[tuple[int, int, int]]:
        """Per stage the layers that may be skipped, first to end, and the option that skips."""
        return [
            (stage.layers[0] + 1, stage.layers[-1] + 1, len(self.choices[stage.layers[-1]].options) - 1)
            for stage in self.stages
        ]

    def plain(self) -> list[Arch]:
        """MobileNetV2's operation everywhere, at each depth and number of wide stages."""
        networks = plain_networks(self.choices, self.stages)
        return list(dict.fromkeys(map(self.canonical, networks)))

    def smaller_by(self, choice: int, option: int) -> Mapping[str, int]:
        """Width of stages, depth of skips, kernel and expansion among operations that are alike otherwise."""
        stage = next(s for s in self.stages if s.width_choice <= choice <= s.layers[-1])
        if choice == stage.width_choice:
            return {"width": len(stage.widths) - 1 - option}
        name = self.choices[choice].options[option]
        if name == SKIP:
            return {"depth": stage.layers[-1] + 1 - choice}
        op = self.operations[name]
        others = [self.operations[n] for n in self.choices[choice].options if n != SKIP]
        alike = [o for o in others if (o.kind, o.se, o.act) == (op.kind, op.se, op.act)]
        return {
            "depth": 0,
            "kernel": len({o.kernel for o in alike if o.kernel > op.kernel}),
            "expand": len({o.expand for o in alike if o.expand > op.expand}),
        }

    def blocks(self) -> Mapping[str, AnyBlock]:
        """Every distinct block by key."""
        return self._blocks

    def trunk_block(self, key: str) -> MobileBlock:
        """The block of that key, which is no head."""
        return self._trunk[key]

    def _add(self, block: MobileBlock) -> str:
        self._blocks[block.key] = self._trunk[block.key] = block
        return block.key

    def _inner_map(self, inner_stride: Callable[[int], int]) -> InnerMap:
        """The last map whose stride is not above `inner_stride`, a function of that of the last map."""
        last = self.stages[-1]
        side = self.scale.image_size
        wanted = inner_stride(side // -(-last.size_in // last.stride))
        maps = [InnerMap(None, None, (self.stem_channels,), -(-side // self.definition.stem_stride))]
        maps += [
            InnerMap(number, stage.width_choice, stage.widths, -(-stage.size_in // stage.stride))
            for number, stage in enumerate(self.stages[:-1])
        ]
        inside = [each for each in maps if each.size * wanted >= side]
        if not inside:
            raise UsageError(
                f"space {self.name}: the head {self.head.name!r} reads a map of stride {wanted} of images of "
                f"{side} px, and there is none; give larger images, or a smaller stride of the stem"
            )
        return inside[-1]

    def block(self, op: str, c_in: int, c_out: int, size: int, stride: int, residual: bool) -> MobileBlock:
        """The block that the operation named `op` stands for at these shapes."""
        operation = self.operations[op]
        return MobileBlock(
            kind=operation.kind,
            op=operation,
            c_in=c_in,
            c_out=c_out,
            size=size,
            stride=stride,
            residual=residual,
            dims=self.scale.dims,
        )

    def _front_position(self) -> list[Position]:
        if not self.scale.front:
            return []
        block = FrontBlock.parse(self.scale.front)
        if tuple(block.shape_out) != self.scale.sample_shape:
            raise UsageError(
                f"space {self.name}: the front end {block.key} gives {block.shape_out}, and networks take "
                f"{list(self.scale.sample_shape)}"
            )
        self._blocks[block.key] = block
        return [Position((), np.array(block.key, dtype=object))]

    def module_keys(self, arch: Arch) -> tuple[str, ...]:
        """Those of `block_keys` that are modules of `build(arch)`: all but the front end."""
        return self.block_keys(arch)[bool(self.scale.front) :]

    def _positions(self) -> list[Position]:
        s = self.scale
        stem = MobileBlock(
            kind="stem",
            op=_PLAIN,
            c_in=s.in_channels,
            c_out=self.stem_channels,
            size=s.image_size,
            stride=self.definition.stem_stride,
            dims=s.dims,
        )
        positions = [Position((), np.array(self._add(stem), dtype=object))]
        before: tuple[int, ...] = (self.stem_channels,)
        previous: int | None = None
        inner, held_bytes = self.inner, 0
        if inner is not None and inner.stage is None:
            held_bytes = inner.most_bytes
        for number, stage in enumerate(self.stages):
            size_out = -(-stage.size_in // stage.stride)
            ops = self.choices[stage.layers[0]].options
            keys = np.empty((len(before), len(stage.widths), len(ops)), dtype=object)
            for i, j, k in np.ndindex(keys.shape):
                keys[i, j, k] = self._add(
                    self.block(ops[k], before[i], stage.widths[j], stage.size_in, stage.stride, False)
                )
            if previous is None:
                positions.append(Position((stage.width_choice, stage.layers[0]), keys[0], held_bytes))
            else:
                scope = (previous, stage.width_choice, stage.layers[0])
                positions.append(Position(scope, keys, held_bytes))
            for layer in stage.layers[1:]:
                ops = self.choices[layer].options
                rest = np.empty((len(stage.widths), len(ops)), dtype=object)
                for j, k in np.ndindex(rest.shape):
                    width = stage.widths[j]
                    if ops[k] != SKIP:
                        rest[j, k] = self._add(self.block(ops[k], width, width, size_out, 1, True))
                positions.append(Position((stage.width_choice, layer), rest, held_bytes))
            before, previous, size = stage.widths, stage.width_choice, size_out
            if inner is not None and inner.stage == number:
                held_bytes = inner.most_bytes
        return [*positions, self._head_position(size)]

    def _head_position(self, size: int) -> Position:
        """The head by the width of the last stage, and by that of the inner map where it reads one.

        size: side of the last map.
        """
        stage, inner = self.stages[-1], self.inner
        inner_widths = (0,) if inner is None else inner.widths
        keys = np.empty((len(inner_widths), len(stage.widths)), dtype=object)
        for i, j in np.ndindex(keys.shape):
            block = self.head.block(
                HeadShapes(
                    c_in=stage.widths[j],
                    size=size,
                    width=self.head_channels,
                    n_classes=self.scale.n_classes,
                    image_size=self.scale.image_size,
                    inner_c=inner_widths[i],
                    inner_size=0 if inner is None else inner.size,
                    dims=self.scale.dims,
                )
            )
            self._blocks[block.key] = block
            keys[i, j] = block.key
        if inner is None or inner.width_choice is None:
            return Position((stage.width_choice,), keys[0])
        return Position((inner.width_choice, stage.width_choice), keys)

    def build(self, arch: Arch, scale: Scale | None = None) -> MobileNetwork:
        """The deployed network of `arch`, which is also the one that is searched."""
        self.check_scale(scale)
        modules = [module_of(self._blocks[key]) for key in self.module_keys(arch)]
        return MobileNetwork(modules[0], modules[1:-1], modules[-1], self._blocks_before_inner(arch))

    def _blocks_before_inner(self, arch: Arch) -> int | None:
        """After how many blocks of `arch`, the stem not counted, the head reads their map."""
        if self.inner is None:
            return None
        stages = [] if self.inner.stage is None else self.stages[: self.inner.stage + 1]
        layers = [layer for stage in stages for layer in stage.layers]
        return sum(self.choices[layer].options[arch[layer]] != SKIP for layer in layers)

    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Front end, stem, blocks in a row, head."""
        front = (FRONT_END,) if self.scale.front else ()
        n_layers = len(self.module_keys(arch)) - 2
        return (*front, "/stem/", *(f"/blocks.{i}/" for i in range(n_layers)), "/head/")

    def check_scale(self, scale: Scale | None) -> None:
        """UsageError for a `scale` other than that of the space."""
        if scale not in (None, self.scale):
            raise UsageError(
                f"space {self.name} is searched at the scale it is deployed at; leave out cells and channels"
            )

    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block, stem first, or the front end before it, head last."""
        rows = []
        for i, key in enumerate(self.block_keys(arch), -bool(self.scale.front)):
            b = self._blocks[key]
            alone = b.op.kind == _PLAIN.kind
            rows.append(
                {
                    "name": key if alone else f"block {i}",
                    "kind": b.kind,
                    "kernel": b.op.kernel or (3 if b.kind == "stem" else 1),
                    "expand": b.op.expand,
                    "se": b.op.se,
                    "act": {"stem": "hs", "head": "hs", "front": "none"}.get(b.kind, b.op.act),
                    "in": list(b.input_shape[1:]),
                    "out": b.shape_out,
                    "stride": b.stride,
                    "residual": b.residual,
                    "macs": b.macs,
                    "params": b.params,
                }
            )
        return rows


def _scale_stages(definition: MobileDefinition, scale: Scale) -> tuple[tuple[MobileStage, ...], list[Choice]]:
    downs = n_down(scale.image_size)
    depth_share, size, left = downs / 5, scale.image_size, downs
    if definition.stem_stride == 2:
        size, left = -(-size // 2), left - 1
    choices: list[Choice] = []
    stages: list[MobileStage] = []
    for number, stage in enumerate(definition.stages, 1):
        stride = 2 if stage.stride == 2 and left > 0 else 1
        left -= stride - 1
        widths = tuple(sorted({scaled_channels(w, scale.width_mult) for w in stage.widths}))
        depth = max(1, round(stage.depth * depth_share))
        width_choice = len(choices)
        choices.append(Choice(f"stage{number}", tuple(str(w) for w in widths)))
        operations = stage.operations or definition.operations
        for i in range(depth):
            options = operations if i == 0 else (*operations, SKIP)
            choices.append(Choice(f"stage{number}.{i}", options))
        layer_choices = tuple(range(width_choice + 1, len(choices)))
        stages.append(
            MobileStage(
                width_choice=width_choice, widths=widths, size_in=size, stride=stride, layers=layer_choices
            )
        )
        size = -(-size // stride)
    return tuple(stages), choices
