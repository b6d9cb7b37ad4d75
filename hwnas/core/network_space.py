"""A space whose architectures are networks: which blocks they are made of, and how they are built."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from targets.files import safe_name

from .arrays import Array
from .block import Block
from .choice import Arch
from .features import BlockSums
from .position import Position
from .samples import area
from .space import Space

if TYPE_CHECKING:
    from torch import nn


POOLED = "pooled"
"""The head of classifiers: channel means and a linear layer."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the search network and the deployed network may differ in.

    image_size: side of the image in pixels, length of the signal, symbols of a piece of text.
    in_channels: of the image or signal.
    n_classes: how many logits the network gives.
    width_mult: factor on all channels of a mobile space.
    cells: how many cells, or layers, of a cell or macro space; in `nasbench201` per stage.
    channels: of the first cells.
    affine: whether the norms inside the cells learn scale and shift. Those of the search network do not.
    dims: 2 for images; 1 for signals, which are images of height 1 and have kernels of height 1; 0 for texts,
        whose symbols come one at a time.
    head: what the networks end with, a name of `hwnas.networks.heads.HEADS`.
    front: the key of the block that stands before them in their files (`hwnas.networks.front_blocks`), and in
        no module: costs have it, trainings do not. Empty where there is none.
    """

    image_size: int
    in_channels: int
    n_classes: int
    width_mult: float = 1.0
    cells: int = 0
    channels: int = 0
    affine: bool = True
    dims: int = 2
    head: str = POOLED
    front: str = ""

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of what the network takes."""
        return (self.in_channels, self.image_size if self.dims == 2 else 1, self.image_size)

    @property
    def area(self) -> int:
        """Values of one channel of a sample."""
        return area(self.image_size, self.dims)


def head_option(head: str) -> dict[str, str]:
    """The head as an option of `load_space` and of baselines; of classifiers nothing is said."""
    return {} if head == POOLED else {"head": head}


class NetworkSpace(Space, ABC):
    """A space whose architectures are networks, made of blocks at positions."""

    scale: Scale
    """Of the network that is deployed, and whose costs are computed."""
    positions: tuple[Position, ...]
    _blocks: Mapping[str, Block]
    _file: str | None
    """The TOML file that defines it; None where it comes with the package."""

    @property
    def search_scale(self) -> Scale:
        """Of the network that is searched."""
        return self.scale

    @property
    @abstractmethod
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """The size of its networks besides the image: as text for `space_id`, as options for `load_space`."""

    @cached_property
    def space_id(self) -> str:
        """`mobile-32px-w0.5-c3-n10-<hash of every block>`: what a latency table is filed under."""
        digest = hashlib.sha256(json.dumps(sorted(self._blocks)).encode()).hexdigest()[:8]
        s = self.scale
        size = f"{s.image_size}px" if s.dims == 2 else f"1x{s.image_size}"
        return safe_name(f"{self.name}-{size}-{self.dimensions[0]}-c{s.in_channels}-n{s.n_classes}-{digest}")

    def spec(self) -> dict[str, Any]:
        """The JSON from which `load_space(**spec)` makes this space again."""
        s = self.scale
        return {
            "name": self._file or self.name,
            "image_size": s.image_size,
            "in_channels": s.in_channels,
            "n_classes": s.n_classes,
            **({} if s.dims == 2 else {"dims": s.dims}),
            **self.dimensions[1],
            **head_option(s.head),
            **({"front": s.front} if s.front else {}),
        }

    def blocks(self) -> Mapping[str, Block]:
        """Every distinct block of the space by key, stem and head included."""
        return dict(self._blocks)

    def features(self, archs: Sequence[Arch]) -> dict[str, Array]:
        """`structure`, then what the blocks of the deployed network add up to."""
        return self.structure(archs) | self._block_sums.of(self.indices(archs))

    def structure(self, archs: Sequence[Arch]) -> dict[str, Array]:
        """The features that no block states: how often each option is chosen, unless the space knows more."""
        return super().features(archs)

    @cached_property
    def _block_sums(self) -> BlockSums:
        return BlockSums(self.choices, self.positions, self.blocks())

    @abstractmethod
    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """One dictionary per block of `arch` for drawings: kind, kernel, expand, se, act, in, out, stride."""

    @abstractmethod
    def build(self, arch: Arch, scale: Scale | None = None) -> nn.Module:
        """The network at `scale` (None: as deployed): images (b, c, h, w) to logits (b, n_classes)."""

    @abstractmethod
    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Per block of `block_keys(arch)`: how the names of its nodes in the exported file begin.

        The exporter names a node by the path of its module in `build(arch)`, and no other node's begins so;
        those of a front end begin with `front/`.
        """

    def published(self) -> list[Arch]:
        """Architectures that others found in it, with which a search is compared."""
        return []

    def plain(self) -> list[Arch]:
        """Architectures that a person would write down without a search, each once and in canonical form.

        A search whose evaluations are few begins with some of them. Unless the space says more, those that
        others published.
        """
        return list(dict.fromkeys(map(self.canonical, self.published())))

    def block_keys(self, arch: Arch) -> tuple[str, ...]:
        """The keys of the blocks that make up `arch`, in order, with repetition."""
        keys = (p.key_of(arch) for p in self.positions)
        return tuple(k for k in keys if k is not None)
