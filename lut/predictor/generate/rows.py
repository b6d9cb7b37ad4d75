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
from .graph import Graph, Tensor

Build = Callable[[Graph, Tensor, int, int, Random], Tensor]


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of block and where in real networks it stands.

    levels: how often at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image. keeps: it is built with the channels
    of its input and stride 1 only. copies: in the deck; more for what most networks are made of, and for
    what alone holds a kernel that some networks need.
    """

    name: str
    build: Build
    levels: tuple[int, int, int, int, int]
    keeps: bool = False
    copies: int = 1


_ANY = (2, 4, 4, 4, 3)
_MIDDLE = (0, 3, 4, 4, 3)
_TOKENS = (0, 0, 1, 5, 4)
_WINDOWS = (0, 4, 4, 4, 3)

ROWS: tuple[Row, ...] = (
    Row("plain", full.plain, _ANY, copies=2),
    Row("inverted", mobile.inverted, (3, 4, 4, 4, 4), copies=2),
    Row("vit", token.vit, _TOKENS, keeps=True, copies=2),
    Row("bottleneck", full.bottleneck, _MIDDLE, copies=2),
    Row("inverted_se", mobile.inverted_se, (2, 4, 4, 4, 4), copies=2),
    Row("inception", branch.inception, (0, 1, 4, 4, 3)),
    Row("convnext", meta.convnext, _MIDDLE, keeps=True),
    Row("basic", full.basic, _MIDDLE),
    Row("separable", mobile.separable, (4, 4, 4, 4, 4)),
    Row("windowed", token.windowed, _WINDOWS, keeps=True, copies=2),
    Row("grouped", full.grouped, _MIDDLE, copies=3),
    Row("ghost", mobile.ghost, (2, 4, 4, 4, 4)),
    Row("fire", branch.fire, (0, 4, 4, 4, 0)),
    Row("mixer", token.mixer, _TOKENS, keeps=True),
    Row("dense", full.dense, _MIDDLE),
    Row("fused", mobile.fused, (3, 4, 4, 2, 1)),
    Row("poolformer", meta.poolformer, _MIDDLE, keeps=True, copies=2),
    Row("res2net", branch.res2net, _MIDDLE),
    Row("shuffle", mobile.shuffle, (0, 2, 4, 4, 3)),
    Row("mobile_vit", token.mobile_vit, (0, 0, 4, 4, 4), keeps=True),
    Row("reparam", full.reparam, _ANY),
    Row("universal", mobile.universal, (1, 3, 4, 4, 4)),
    Row("split_attention", branch.split_attention, _MIDDLE),
    Row("reduced_attention", token.reduced_attention, _WINDOWS, keeps=True),
    Row("darknet", full.darknet, _ANY),
    Row("decoder", mobile.decoder, (1, 4, 4, 3, 0)),
    Row("cross_covariance", token.cross_covariance, (0, 1, 4, 4, 3), keeps=True, copies=2),
    Row("aggregation", branch.aggregation, _MIDDLE),
    Row("eca", mobile.eca, _MIDDLE),
    Row("conv_attention", token.conv_attention, (0, 0, 2, 4, 4), keeps=True),
    Row("factored", full.factored, _MIDDLE, copies=2),
    Row("high_resolution", branch.high_resolution, (0, 4, 4, 2, 0), copies=2),
    Row("levit", token.levit, _TOKENS, keeps=True),
    Row("preact", full.preact, _MIDDLE),
    Row("selective_kernel", branch.selective_kernel, _MIDDLE),
    Row("conv_mlp", meta.conv_mlp, _MIDDLE, keeps=True),
    Row("shuffle_grouped", mobile.shuffle_grouped, (0, 1, 4, 4, 4)),
    Row("gated_vector", token.gated_vector, _MIDDLE, keeps=True),
    Row("cross_stage", branch.cross_stage, _ANY),
    Row("linear_attention", token.linear_attention, (0, 0, 3, 4, 4), keeps=True),
    Row("group_normed", meta.group_normed, _MIDDLE, keeps=True),
    Row("pyramid", branch.pyramid, (0, 1, 3, 4, 4)),
    Row("large_kernel_attention", mobile.large_kernel_attention, _MIDDLE),
    Row("gated", meta.gated, _MIDDLE, keeps=True),
)
