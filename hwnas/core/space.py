"""A search space is a list of choices; sampling, variation and encoding all derive from it.

`Space` needs nothing else, so a table of known results is one too. `NetworkSpace` adds the
networks: which blocks an architecture is made of, how it is built, and its supernet.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError, did_you_mean
from targets.files import safe_name

from .choice import Arch, Choice
from .node import check_nodes, nodes_of

if TYPE_CHECKING:
    from torch import nn

    from hwnas.networks.blocks import Priced
    from hwnas.networks.wrappers import Wrapper
    from hwnas.supernets.mobile import Supernet


class Space:
    """The choices of a search and all that follows from them."""

    def __init__(self, name: str, choices: Sequence[Choice]) -> None:
        """Choices named `group.part` print together; option names hold no ':' and no '/'."""
        self.name = name
        self.choices = tuple(choices)
        self.n_options = np.array([len(c.options) for c in self.choices], dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self.n_options)])
        check_nodes(name, self.choices)
        self.nodes = nodes_of(self.choices)
        inside = {edge for node in self.nodes for edge in node.edges}
        self._free = tuple(c for c in range(len(self.choices)) if c not in inside)

    @property
    def size(self) -> int:
        """How many valid architectures there are (equivalent ones counted apart)."""
        free = math.prod(int(self.n_options[c]) for c in self._free)
        return free * math.prod(node.size(self.n_options) for node in self.nodes)

    def canonical(self, arch: Arch) -> Arch:
        """The one representative of all architectures that are the same network."""
        return arch

    def valid(self, arch: Arch) -> bool:
        """Whether `arch` has one existing option per choice and as many edges per node as are kept."""
        return (
            len(arch) == len(self.choices)
            and all(0 <= i < n for i, n in zip(arch, self.n_options, strict=True))
            and all(len(node.kept(arch)) == node.keep for node in self.nodes)
        )

    def reads_image(self, arch: Arch) -> bool:
        """Whether anything of the image reaches the classifier; else there is nothing to train."""
        return True

    def smaller_by(self, choice: int, option: int) -> Mapping[str, int]:
        """By how many steps an option is smaller than the largest of its kind, per dimension.

        Once-for-all, 1908.09791, section 3.3: kernel, depth and width shrink one after the other. Empty where
        options are different things and not different sizes.
        """
        return {}

    def key(self, arch: Arch) -> str:
        """The canonical identity, used by every cache; `from_string` reads it."""
        return self.to_string(self.canonical(arch))

    def arch_id(self, arch: Arch) -> str:
        """A short name for files: the first 10 hexadecimal digits of the SHA-256 of the key."""
        return hashlib.sha256(self.key(arch).encode()).hexdigest()[:10]

    def sample(self, rng: np.random.Generator) -> Arch:
        """A canonical architecture: each free choice, and each node's edges and operations, uniform."""
        return self.canonical(self._draw(rng))

    def _draw(self, rng: np.random.Generator) -> Arch:
        drawn = rng.integers(0, self.n_options)
        for node in self.nodes:
            kept = rng.choice(len(node.edges), size=node.keep, replace=False)
            for i, c in enumerate(node.edges):
                real = [k for k in range(int(self.n_options[c])) if k != node.none[i]]
                drawn[c] = real[rng.integers(len(real))] if i in kept else node.none[i]
        return tuple(int(i) for i in drawn)

    def _settle(self, arch: NDArray[np.int64], source: Arch, rng: np.random.Generator) -> Arch:
        """`arch` with `keep` edges per node: surplus ones are dropped, missing ones are those of `source`.

        `source` is valid, so it has an edge to give wherever one is missing.
        """
        out = [int(i) for i in arch]
        for node in self.nodes:
            kept = node.kept(out)
            for i in rng.permutation(kept)[: max(0, len(kept) - node.keep)]:
                out[node.edges[i]] = node.none[i]
            spare = [i for i in node.kept(source) if i not in kept]
            for i in rng.permutation(spare)[: max(0, node.keep - len(kept))]:
                out[node.edges[i]] = source[node.edges[i]]
        return tuple(out)

    def mutate(self, arch: Arch, rng: np.random.Generator, rate: float | None = None) -> Arch:
        """Another architecture: each choice redrawn with probability `rate` (default 2/n).

        Raises UsageError when the space holds a single network.
        """
        rate = 2 / len(self.choices) if rate is None else rate
        own, current = self.canonical(arch), np.array(arch)
        for _ in range(1000):
            redraw = rng.random(len(current)) < rate
            redraw[rng.integers(len(current))] = True
            drawn = self._draw(rng)
            child = self.canonical(self._settle(np.where(redraw, drawn, current), drawn, rng))
            if child != own:
                return child
        raise UsageError(f"space {self.name}: found no second architecture; give it more options")

    def cross_over(self, a: Arch, b: Arch, rng: np.random.Generator, share: float = 0.5) -> Arch:
        """Uniform crossover: each choice from `a` with probability `share`, else from `b`."""
        take = rng.random(len(a)) < share
        return self.canonical(self._settle(np.where(take, a, b), a, rng))

    def enumerate(self) -> Iterator[Arch]:
        """Every canonical architecture once."""
        seen: set[Arch] = set()
        parts: list[list[tuple[tuple[int, int], ...]]]
        parts = [[((c, k),) for k in range(int(self.n_options[c]))] for c in self._free]
        parts += [list(node.options(self.n_options)) for node in self.nodes]
        # The last choice runs fastest, as in a nested loop over the choices.
        parts.sort(key=lambda part: part[0][0][0])
        for picked in itertools.product(*parts):
            canonical = self.canonical(tuple(k for _, k in sorted(itertools.chain.from_iterable(picked))))
            if canonical not in seen:
                seen.add(canonical)
                yield canonical

    def encode(self, archs: Sequence[Arch]) -> NDArray[np.float64]:
        """One-hot rows (n, sum of n_options): the flattened mixes of the architectures."""
        out = np.zeros((len(archs), int(self._offsets[-1])))
        if len(archs):
            columns = np.asarray(archs, dtype=np.int64) + self._offsets[:-1]
            np.put_along_axis(out, columns, 1.0, axis=1)
        return out

    def decode(self, encoding: NDArray[np.float64]) -> list[Arch]:
        """The architectures of the rows of `encoding` (n, sum of n_options), by argmax per choice."""
        parts = np.split(np.atleast_2d(encoding), self._offsets[1:-1], axis=1)
        return [tuple(int(i) for i in row) for row in np.stack([p.argmax(1) for p in parts], axis=1)]

    def _groups(self) -> list[list[int]]:
        names = [c.name.split(".")[0] for c in self.choices]
        return [[i for i, _ in part] for _, part in itertools.groupby(enumerate(names), key=lambda p: p[1])]

    def to_string(self, arch: Arch) -> str:
        """`16:mb3e3/24:mb5e6-se-hs:skip`: options joined by ':', groups of choices by '/'."""
        if not self.valid(arch):
            raise UsageError(f"{arch!r} is no architecture of space {self.name}")
        return "/".join(":".join(self.choices[i].options[arch[i]] for i in group) for group in self._groups())

    def from_string(self, text: str) -> Arch:
        """The architecture that `to_string` wrote; UsageError names the part that does not fit."""
        groups = self._groups()
        parts = [p.split(":") for p in text.strip().split("/")]
        if [len(p) for p in parts] != [len(g) for g in groups]:
            raise UsageError(
                f"{text!r} is no architecture of space {self.name}; a valid one reads "
                f"{self.to_string(tuple(0 for _ in self.choices))!r}"
            )
        names = list(itertools.chain.from_iterable(parts))
        return tuple(self._option(c, n) for c, n in zip(self.choices, names, strict=True))

    def _option(self, choice: Choice, name: str) -> int:
        if name not in choice.options:
            known = did_you_mean(name, choice.options)
            raise UsageError(f"space {self.name}, choice {choice.name}: unknown option {name!r}; {known}")
        return choice.options.index(name)


@dataclass(frozen=True, slots=True)
class Scale:
    """What the search network and the deployed network may differ in.

    cells, channels: of cell spaces; channels are those of the first cells. affine: whether the norms inside
    the cells learn scale and shift; the search network's do not.
    """

    image_size: int
    in_channels: int
    n_classes: int
    width_mult: float = 1.0
    cells: int = 0
    channels: int = 0
    affine: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """One place of the network, ruled by up to three choices.

    choices: indices into `space.choices`. keys: the key of the block that stands there, per
    combination of their options (object array, one axis per choice); None where nothing stands.
    Every cost of the space is a table of this shape. held_bytes: fp32 activations of one image that
    others need later and that therefore live while the block runs.
    """

    choices: tuple[int, ...]
    keys: NDArray[np.object_]
    held_bytes: int = 0


class NetworkSpace(Space, ABC):
    """A space whose architectures are networks, made of blocks at positions."""

    scale: Scale
    """Of the network that is deployed, and priced."""
    positions: tuple[Position, ...]
    _specs: Mapping[str, Priced]
    _file: str | None
    """The TOML file that defines it; None where it comes with the package."""

    @property
    def search_scale(self) -> Scale:
        """Of the network that is searched."""
        return self.scale

    @property
    @abstractmethod
    def dimensions(self) -> tuple[str, dict[str, float]]:
        """What its networks measure besides the image: in the name of the space, and for `load_space`."""

    @cached_property
    def space_id(self) -> str:
        """`mobile-32px-w0.5-c3-n10-<hash of every block>`: what a latency table is filed under."""
        digest = hashlib.sha256(json.dumps(sorted(self._specs)).encode()).hexdigest()[:8]
        s = self.scale
        return safe_name(
            f"{self.name}-{s.image_size}px-{self.dimensions[0]}-c{s.in_channels}-n{s.n_classes}-{digest}"
        )

    def spec(self) -> dict[str, Any]:
        """The JSON from which `load_space(**spec)` makes this space again."""
        s = self.scale
        return {
            "name": self._file or self.name,
            "image_size": s.image_size,
            "in_channels": s.in_channels,
            "n_classes": s.n_classes,
            **self.dimensions[1],
        }

    def blocks(self) -> Mapping[str, Priced]:
        """Every distinct block of the space by key, stem and head included."""
        return dict(self._specs)

    @abstractmethod
    def describe(self, arch: Arch) -> list[dict[str, Any]]:
        """The blocks of `arch` for drawings: kind, kernel, expand, se, act, in, out, stride."""

    @abstractmethod
    def build(self, arch: Arch, scale: Scale | None = None) -> nn.Module:
        """The network at `scale` (None: as deployed): images (b, c, h, w) to logits (b, n_classes)."""

    @abstractmethod
    def supernet(self, scale: Scale | None = None, *wrappers: Wrapper) -> Supernet:
        """The network that holds the shared weights of all architectures, at `scale` (None: search_scale).

        wrappers: what its edges are wrapped in (`networks.wrappers`).
        """

    @abstractmethod
    def prefixes(self, arch: Arch) -> tuple[str, ...]:
        """Per block of `parts(arch)`: what the names of its nodes, and of no other's, begin with in its file.

        The exporter names a node by the path of its module in `build(arch)`.
        """

    def parts(self, arch: Arch) -> tuple[str, ...]:
        """The keys of the blocks that make up `arch`, in order, with repetition."""
        keys = (p.keys[tuple(arch[c] for c in p.choices)] for p in self.positions)
        return tuple(k for k in keys if k is not None)
