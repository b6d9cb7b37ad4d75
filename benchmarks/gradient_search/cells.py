"""Parts (b) and (c): cells found in the space darts, trained on the classes of the search and on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np

from hwnas.core.choice import Arch
from hwnas.data import Data
from hwnas.gradient.methods import METHODS
from hwnas.spaces.cells import CellSpace

from .jobs import Job, Row, Rows
from .searching import cell_space, found, images, recipe, search, trained
from .subset import Subset

FIVE = ("darts", "darts-2", "pc-darts", "hyperdarts", "proxyless")
CLASSES = {"b": (0, 5), "c": (5, 10)}
"""Of the class names in alphabetical order; the search sees those of b."""


@dataclass(frozen=True)
class Sizes:
    """search_*: of the network that is searched, from `per_class` images for each of weights and policy.

    cells, channels, epochs: of the final networks, which learn from both halves. random: cells beside them.
    """

    image_size: int = 16
    per_class: int = 400
    search_cells: int = 4
    search_channels: int = 8
    batch: int = 64
    steps: int = 80
    cells: int = 4
    channels: int = 12
    epochs: int = 4
    random: int = 3
    val: int = 50
    test: int = 500

    def times(self, factor: float) -> Sizes:
        """With so many times the steps and epochs."""
        return replace(self, steps=round(self.steps * factor), epochs=max(1, round(self.epochs * factor)))


_OF_A_SEARCH = ("image_size", "per_class", "search_cells", "search_channels", "batch", "steps")


@dataclass(frozen=True)
class CellJobs:
    """Searches with the images of part b, then trainings with those of b or c."""

    sizes: Sizes
    source: Path
    out: Path

    def jobs(self, letters: Sequence[str]) -> list[Job]:
        """letters: b, c or both. Cell by cell, quick searches first: a run that is cut off has whole rows."""
        sizes, listed = asdict(self.sizes), []
        searched = {k: sizes[k] for k in _OF_A_SEARCH}
        final = {k: v for k, v in sizes.items() if k != "random"}
        randoms = [f"random-{n}" for n in range(self.sizes.random)]
        for name in (*randoms, *sorted(FIVE, key=lambda m: METHODS[m].passes())):
            before = self._search(name)
            passes = METHODS[name].passes() if before else 0.0
            listed += [Job(job, searched, partial(self.searched, name), passes) for job in before]
            for x in letters:
                listed.append(Job(f"{x}/{name}", final, partial(self.trained, x, name), 1.0, before))
        return listed

    @cached_property
    def halves(self) -> Data:
        """What the searches see."""
        n = self.sizes.per_class
        return self._images(Subset(CLASSES["b"], (0, n), (n, 2 * n), 1))

    @cache  # noqa: B019  (a part lives as long as the process)
    def whole(self, letter: str) -> Data:
        """What final networks are trained and tested with."""
        n, s = 2 * self.sizes.per_class, self.sizes
        return self._images(Subset(CLASSES[letter], (0, n), (n, n + s.val), s.test))

    def _images(self, subset: Subset) -> Data:
        return images(subset.folder(self.source, self.out / "data"), self.sizes.image_size, self.out)

    @cached_property
    def space(self) -> CellSpace:
        return cell_space("darts", self.halves, self.sizes.cells, self.sizes.channels)

    def searched(self, name: str, _: Rows) -> Row:
        s = self.sizes
        made = search(
            self.space, self.halves, METHODS[name],
            cells=s.search_cells, channels=s.search_channels, steps=s.steps, batch=s.batch, seed=0,
        )  # fmt: skip
        return found(made, made.seeds(1)[0].arch)

    def trained(self, letter: str, name: str, rows: Rows) -> Row:
        how = recipe(self.sizes.epochs, self.sizes.batch)
        return trained(self.space, self._arch(name, rows), self.whole(letter), how, seed=0)

    def _search(self, name: str) -> tuple[str, ...]:
        return (f"search/{name}",) if name in FIVE else ()

    def _arch(self, name: str, rows: Rows) -> Arch:
        if name in FIVE:
            return self.space.from_string(rows[f"search/{name}"]["arch"])
        return self.space.sample(np.random.default_rng([int(name.removeprefix("random-")), 11]))
