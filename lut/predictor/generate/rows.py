"""The table of block kinds. A new kind is one builder and one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from . import branch_blocks as branch
from . import dense_blocks as full
from . import meta_blocks as meta
from . import mobile_blocks as mobile
from . import token_blocks as token
from .graph import GraphBuilder, Value

BlockBuilder = Callable[[GraphBuilder, Value, int, int, Random], Value]


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A kind of block and where in real networks it stands.

    name: of the kind.
    build: (graph, map, channels, stride, rng) -> map.
    levels: how often it stands at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image.
    keeps: it is built with the channels of its input and stride 1 only.
    copies: cards in the deck; more for kinds that most networks are made of, and for kinds that alone hold a
        kernel which some networks need.
    """

    name: str
    build: BlockBuilder
    levels: tuple[int, int, int, int, int]
    keeps: bool = False
    copies: int = 1


_ANY = (2, 4, 4, 4, 3)
_MIDDLE = (0, 3, 4, 4, 3)
_TOKENS = (0, 0, 1, 5, 4)
_WINDOWS = (0, 4, 4, 4, 3)

ROWS: tuple[BlockRow, ...] = (
    BlockRow("plain", full.plain, _ANY, copies=2),
    BlockRow("inverted", mobile.inverted, (3, 4, 4, 4, 4), copies=2),
    BlockRow("vit", token.vit, _TOKENS, keeps=True, copies=2),
    BlockRow("bottleneck", full.bottleneck, _MIDDLE, copies=2),
    BlockRow("inverted_se", mobile.inverted_se, (2, 4, 4, 4, 4), copies=2),
    BlockRow("inception", branch.inception, (0, 1, 4, 4, 3)),
    BlockRow("convnext", meta.convnext, _MIDDLE, keeps=True),
    BlockRow("basic", full.basic, _MIDDLE),
    BlockRow("separable", mobile.separable, (4, 4, 4, 4, 4)),
    BlockRow("windowed", token.windowed, _WINDOWS, keeps=True, copies=2),
    BlockRow("grouped", full.grouped, _MIDDLE, copies=3),
    BlockRow("ghost", mobile.ghost, (2, 4, 4, 4, 4)),
    BlockRow("fire", branch.fire, (0, 4, 4, 4, 0)),
    BlockRow("mixer", token.mixer, _TOKENS, keeps=True),
    BlockRow("dense", full.dense, _MIDDLE),
    BlockRow("fused", mobile.fused, (3, 4, 4, 2, 1)),
    BlockRow("poolformer", meta.poolformer, _MIDDLE, keeps=True, copies=2),
    BlockRow("res2net", branch.res2net, _MIDDLE),
    BlockRow("shuffle", mobile.shuffle, (0, 2, 4, 4, 3)),
    BlockRow("mobile_vit", token.mobile_vit, (0, 0, 4, 4, 4), keeps=True),
    BlockRow("reparam", full.reparam, _ANY),
    BlockRow("universal", mobile.universal, (1, 3, 4, 4, 4)),
    BlockRow("split_attention", branch.split_attention, _MIDDLE),
    BlockRow("reduced_attention", token.reduced_attention, _WINDOWS, keeps=True),
    BlockRow("darknet", full.darknet, _ANY),
    BlockRow("decoder", mobile.decoder, (1, 4, 4, 3, 0)),
    BlockRow("cross_covariance", token.cross_covariance, (0, 1, 4, 4, 3), keeps=True, copies=2),
    BlockRow("aggregation", branch.aggregation, _MIDDLE),
    BlockRow("eca", mobile.eca, _MIDDLE),
    BlockRow("conv_attention", token.conv_attention, (0, 0, 2, 4, 4), keeps=True),
    BlockRow("factored", full.factored, _MIDDLE, copies=2),
    BlockRow("high_resolution", branch.high_resolution, (0, 4, 4, 2, 0), copies=2),
    BlockRow("levit", token.levit, _TOKENS, keeps=True),
    BlockRow("preact", full.preact, _MIDDLE),
    BlockRow("selective_kernel", branch.selective_kernel, _MIDDLE),
    BlockRow("conv_mlp", meta.conv_mlp, _MIDDLE, keeps=True),
    BlockRow("shuffle_grouped", mobile.shuffle_grouped, (0, 1, 4, 4, 4)),
    BlockRow("gated_vector", token.gated_vector, _MIDDLE, keeps=True),
    BlockRow("cross_stage", branch.cross_stage, _ANY),
    BlockRow("linear_attention", token.linear_attention, (0, 0, 3, 4, 4), keeps=True),
    BlockRow("group_normed", meta.group_normed, _MIDDLE, keeps=True),
    BlockRow("pyramid", branch.pyramid, (0, 1, 3, 4, 4)),
    BlockRow("large_kernel_attention", mobile.large_kernel_attention, _MIDDLE),
    BlockRow("gated", meta.gated, _MIDDLE, keeps=True),
    BlockRow("cell", full.cell, _ANY),
)
