"""A search space is a list of choices; sampling, variation and encoding all derive from it.

`Space` needs nothing else, so a table of known results is one too. `NetworkSpace` adds the networks.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError, did_you_mean

from .arrays import Array, Indices
from .choice import Arch, Choice
from .features import OptionCounts
from .node import check_nodes, nodes_of


class Space:
    """The choices of a search and all that follows from them.

    >>> space = Space("demo", [Choice("kernel", ("3x3", "5x5")), Choice("depth", ("1", "2", "3"))])
    >>> space.size
    6
    >>> arch = space.from_string("5x5/2")
    >>> arch, space.key(arch), space.encode([arch]).tolist()
    ((1, 1), '5x5/2', [[0.0, 1.0, 0.0, 1.0, 0.0]])
    >>> rng = np.random.default_rng(0)
    >>> space.valid(space.mutate(arch, rng)), space.cross_over((0, 0), (1, 2), rng) in space.enumerate()
    (True, True)
    """

    def __init__(self, name: str, choices: Sequence[Choice]) -> None:
        """The string form puts choices named `group.part` together; option names hold no ':' and no '/'."""
        self.name = name
        self.choices = tuple(choices)
        self.n_options = np.array([len(c.options) for c in self.choices], dtype=np.int64)
        self._limits = self.n_options.tolist()
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
            and all(map(operator.lt, arch, self._limits))
            and min(arch, default=0) >= 0
            and all(len(node.kept(arch)) == node.keep for node in self.nodes)
        )

    def reads_image(self, arch: Arch) -> bool:
        """Whether anything of the image reaches the classifier; else there is nothing to train."""
        return True

    def smaller_by(self, choice: int, option: int) -> Mapping[str, int]:
        """By how many steps an option is smaller than the largest of its kind, per dimension.

        Kernel, depth and width shrink one after the other (Once-for-all, 1908.09791, section 3.3). Empty
        where options differ in kind and not in size.
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
        return tuple(drawn.tolist())

    def _settle(self, arch: NDArray[np.int64], source: Arch, rng: np.random.Generator) -> Arch:
        """`arch` with `keep` edges per node: surplus edges are dropped, missing ones come from `source`.

        `source` is valid, so it has an edge to give wherever one is missing.
        """
        settled = arch.tolist()
        for node in self.nodes:
            kept = node.kept(settled)
            for i in rng.permutation(kept)[: max(0, len(kept) - node.keep)]:
                settled[node.edges[i]] = node.none[i]
            spare = [i for i in node.kept(source) if i not in kept]
            for i in rng.permutation(spare)[: max(0, node.keep - len(kept))]:
                settled[node.edges[i]] = source[node.edges[i]]
        return tuple(settled)

    def mutate(self, arch: Arch, rng: np.random.Generator, rate: float | None = None) -> Arch:
        """Another architecture: each choice redrawn with probability `rate` (default 2/n).

        Raises UsageError when the space holds a single network.
        """
        rate = 2 / len(self.choices) if rate is None else rate
        canonical, current = self.canonical(arch), np.array(arch)
        for _ in range(1000):
            redraw = rng.random(len(current)) < rate
            redraw[rng.integers(len(current))] = True
            drawn = self._draw(rng)
            child = self.canonical(self._settle(np.where(redraw, drawn, current), drawn, rng))
            if child != canonical:
                return child
        raise UsageError(f"space {self.name}: found no second architecture; give it more options")

    def redrawn(self, arch: Arch, rng: np.random.Generator, rate: float) -> Arch:
        """Each choice redrawn with probability `rate`, which may leave the architecture as it is."""
        redraw = rng.random(len(arch)) < rate
        if not redraw.any():
            return self.canonical(arch)
        drawn = self._draw(rng)
        return self.canonical(self._settle(np.where(redraw, drawn, arch), drawn, rng))

    def repaired(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """`arch` with as many edges per node as are kept: surplus ones dropped, missing ones drawn."""
        return self.canonical(self._settle(np.array(arch), self._draw(rng), rng))

    def cross_over(self, a: Arch, b: Arch, rng: np.random.Generator, share: float = 0.5) -> Arch:
        """Uniform crossover: each choice from `a` with probability `share`, else from `b`."""
        take = rng.random(len(a)) < share
        return self.canonical(self._settle(np.where(take, a, b), a, rng))

    def enumerate(self) -> Iterator[Arch]:
        """Every canonical architecture once."""
        seen: set[Arch] = set()
        decisions: list[list[tuple[tuple[int, int], ...]]]
        decisions = [[((c, k),) for k in range(int(self.n_options[c]))] for c in self._free]
        decisions += [list(node.options(self.n_options)) for node in self.nodes]
        # The last choice runs fastest, as in a nested loop over the choices.
        decisions.sort(key=lambda alternatives: alternatives[0][0][0])
        for picked in itertools.product(*decisions):
            canonical = self.canonical(tuple(k for _, k in sorted(itertools.chain.from_iterable(picked))))
            if canonical not in seen:
                seen.add(canonical)
                yield canonical

    def encode(self, archs: Sequence[Arch]) -> NDArray[np.float64]:
        """One-hot rows (n, sum of n_options): the flattened mixes of the architectures."""
        rows = np.zeros((len(archs), int(self._offsets[-1])))
        if len(archs):
            columns = np.asarray(archs, dtype=np.int64) + self._offsets[:-1]
            np.put_along_axis(rows, columns, 1.0, axis=1)
        return rows

    def indices(self, archs: Sequence[Arch] | Indices) -> Indices:
        """Architectures as rows (n, choices), also for none."""
        if len(archs) and isinstance(archs[0], tuple) and self.n_options.max(initial=0) <= 256:
            # By way of bytes: numpy takes twice as long to read tuples.
            read = np.frombuffer(b"".join(map(bytes, archs)), dtype=np.uint8)
            return read.astype(np.int64).reshape(len(archs), len(self.choices))
        return np.asarray(archs, dtype=np.int64).reshape(len(archs), len(self.choices))

    def features(self, archs: Sequence[Arch]) -> dict[str, Array]:
        """Structural numbers of canonical architectures, by what they are about: name -> (n, features).

        What a surrogate of the accuracy goes by; each group gets one length scale. A space that knows more of
        its architectures than their options states it here.
        """
        return {"options": self._option_counts.of(self.indices(archs))}

    @cached_property
    def _option_counts(self) -> OptionCounts:
        return OptionCounts(self.choices)

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Choices that stand together in the string form."""
        names = [c.name.split(".")[0] for c in self.choices]
        return [[i for i, _ in part] for _, part in itertools.groupby(enumerate(names), key=lambda p: p[1])]

    @cached_property
    def _pieces(self) -> list[list[str]]:
        """Per choice its options, each with what stands behind it in the string form."""
        ends = [end for group in self._groups for end in ":" * (len(group) - 1) + "/"]
        ends[-1:] = [""]
        return [[option + end for option in c.options] for c, end in zip(self.choices, ends, strict=True)]

    def to_string(self, arch: Arch) -> str:
        """`16:mb3e3/24:mb5e6-se-hs:skip`: options joined by ':', groups of choices by '/'."""
        if not self.valid(arch):
            raise UsageError(f"{arch!r} is no architecture of space {self.name}")
        return "".join(map(operator.getitem, self._pieces, arch))

    def from_string(self, text: str) -> Arch:
        """The architecture that `to_string` wrote; UsageError names the part that does not fit."""
        groups = self._groups
        parts = [p.split(":") for p in text.strip().split("/")]
        if [len(p) for p in parts] != [len(g) for g in groups]:
            example = self.to_string(self.sample(np.random.default_rng(0)))
            raise UsageError(
                f"{text!r} is no architecture of space {self.name}; a valid one reads {example!r}"
            )
        names = list(itertools.chain.from_iterable(parts))
        return tuple(self._option(c, n) for c, n in zip(self.choices, names, strict=True))

    def _option(self, choice: Choice, name: str) -> int:
        if name not in choice.options:
            known = did_you_mean(name, choice.options)
            raise UsageError(f"space {self.name}, choice {choice.name}: unknown option {name!r}; {known}")
        return choice.options.index(name)
