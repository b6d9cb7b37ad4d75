"""Which channels stand and fall together: places in tensors, and the unions of them that a network makes.

A place is one index of one axis of a weight or a buffer. Two places that must be removed together are in one
class; a class that must not be removed is whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ChannelPlaces = NDArray[np.int64]
"""Numbers of places, one per channel."""

Axis = tuple[str, int]
"""A tensor by name, and one of its axes."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelGroup:
    """Channels that can be removed one by one, each with all of its places.

    name: of the tensor that makes them. places: by axis, the indices of each channel; (size, k).
    """

    name: str
    places: dict[Axis, NDArray[np.int64]]

    @property
    def size(self) -> int:
        """Number of channels."""
        return len(next(iter(self.places.values())))

    @property
    def readers(self) -> list[Axis]:
        """Where the channels are read: the input axes of weights that mix channels."""
        return [axis for axis in self.places if axis[1] == 1]


class Coupling:
    """Collects places, their unions, and those that stay."""

    def __init__(self) -> None:
        self._axes: dict[Axis, ChannelPlaces] = {}
        self._n = 0
        self._pairs: list[tuple[ChannelPlaces, ChannelPlaces]] = []
        self._whole: list[ChannelPlaces] = []

    def axis(self, name: str, axis: int, size: int) -> ChannelPlaces:
        """The places of an axis of a tensor; the same at each call."""
        key = (name, axis)
        if key not in self._axes:
            self._axes[key] = np.arange(self._n, self._n + size)
            self._n += size
        return self._axes[key]

    def unite(self, a: ChannelPlaces, b: ChannelPlaces) -> None:
        """These places fall together, pair by pair."""
        self._pairs.append((np.asarray(a), np.asarray(b)))

    def keep(self, places: ChannelPlaces) -> None:
        """These places stay."""
        self._whole.append(np.asarray(places))

    def groups(self) -> list[ChannelGroup]:
        """The groups of channels that may be removed, in the order in which the network makes them."""
        labels, n_classes = self._classes()
        whole = np.zeros(n_classes, dtype=bool)
        for places in self._whole:
            whole[labels[places]] = True
        members: dict[int, dict[Axis, list[int]]] = defaultdict(lambda: defaultdict(list))
        for axis, places in self._axes.items():
            for index, label in enumerate(labels[places].tolist()):
                if not whole[label]:
                    members[label][axis].append(index)
        alike: dict[tuple[tuple[Axis, int], ...], list[dict[Axis, list[int]]]] = defaultdict(list)
        for known in members.values():
            alike[tuple((axis, len(indices)) for axis, indices in known.items())].append(known)
        names, groups = Counter[str](), []
        for signature, channels in alike.items():
            makers = [name for (name, axis), _ in signature if axis == 0]
            if len(channels) > 1 and makers and any(axis == 1 for (_, axis), _ in signature):
                name = makers[0].removesuffix(".weight")
                names[name] += 1
                groups.append(_group(name if names[name] == 1 else f"{name} ({names[name]})", channels))
        return groups

    def _classes(self) -> tuple[ChannelPlaces, int]:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        first = np.concatenate([a for a, _ in self._pairs]) if self._pairs else np.zeros(0, np.int64)
        second = np.concatenate([b for _, b in self._pairs]) if self._pairs else np.zeros(0, np.int64)
        graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(self._n, self._n))
        n_classes, labels = connected_components(graph, directed=False)
        return labels, int(n_classes)


def _group(name: str, channels: Sequence[dict[Axis, list[int]]]) -> ChannelGroup:
    axes = channels[0]
    return ChannelGroup(
        name, {axis: np.array([row[axis] for row in channels], dtype=np.int64) for axis in axes}
    )
