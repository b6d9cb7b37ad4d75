"""Part (a): every method in the space of NAS-Bench-201, judged by the table of true accuracies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nasbench201 import DATA_SETS, Table
from hwnas.core.choice import Arch
from hwnas.core.registry import part
from hwnas.costs.cost_model import CostModel
from hwnas.data import Data
from hwnas.genotype import read_genotype, write_genotype
from hwnas.gradient.method import Method
from hwnas.gradient.methods import METHODS
from hwnas.spaces.cells import CellSpace

from .jobs import Job, Row, Rows
from .searching import cell_space, found, images, recipe, search, skips, trained
from .subset import Subset

EIGHT = ("darts", "darts-2", "hyperdarts", "p-darts", "pc-darts", "dadarts", "proxyless", "enas")
SHARED, RANDOM, REFERENCE = "random-shared", "random-trained", "table"


@dataclass(frozen=True)
class Sizes:
    """per_class: images of each class for the weights, and as many others for the policy. cells: per stage.

    random: cells that random search trains, for `epochs` each.
    """

    image_size: int = 16
    per_class: int = 500
    cells: int = 1
    channels: int = 16
    batch: int = 32
    steps: int = 250
    random: int = 5
    epochs: int = 2

    def times(self, factor: float) -> Sizes:
        """With so many times the steps and epochs."""
        return replace(self, steps=round(self.steps * factor), epochs=max(1, round(self.epochs * factor)))


def method_row(name: str, cells: int) -> Method:
    """A published row, but for the depths of P-DARTS: once, twice and three times `cells` per stage."""
    if name == SHARED:
        return replace(METHODS["elastic"], weight_rule=part("plain"), decode=part("sample_and_rank", n=50))
    row = METHODS[name]
    stages = tuple(replace(s, cells=s.cells and n * cells) for n, s in enumerate(row.stages, 1))
    return replace(row, stages=stages)


@dataclass(frozen=True)
class NasbenchJobs:
    """What its jobs share, made when the first of them runs."""

    sizes: Sizes
    source: Path
    table_file: Path
    out: Path

    def jobs(self, seeds: int) -> list[Job]:
        """Seed by seed, so that a run that is cut off has every method."""
        asked, listed = asdict(self.sizes), [Job(f"a/{REFERENCE}", {}, self.reference, 0.05)]
        for seed in range(seeds):
            listed += [
                Job(f"a/{m}/{seed}", asked, partial(self.searched, m, seed), method_row(m, 1).passes())
                for m in (*EIGHT, SHARED)
            ]
            listed.append(Job(f"a/{RANDOM}/{seed}", asked, partial(self.random, seed), 2.0))
        return listed

    @cached_property
    def data(self) -> Data:
        n = self.sizes.per_class
        folder = Subset((0, 10), (0, n), (n, 2 * n), 1).folder(self.source, self.out / "data")
        return images(folder, self.sizes.image_size, self.out)

    @cached_property
    def space(self) -> CellSpace:
        return cell_space("nasbench201", self.data, self.sizes.cells, self.sizes.channels)

    @cached_property
    def table(self) -> Table:
        return Table.read(self.table_file)

    def searched(self, name: str, seed: int, _: Rows) -> Row:
        s = self.sizes
        row = method_row(name, s.cells)
        made = search(
            self.space,
            self.data,
            row,
            cells=s.cells,
            channels=s.channels,
            steps=s.steps,
            batch=s.batch,
            seed=seed,
        )
        arch = made.seeds(1)[0].arch
        return {**found(made, arch), **self.truth(arch)}

    def random(self, seed: int, _: Rows) -> Row:
        """The best on validation of a few random cells, each trained alone."""
        rng, s = np.random.default_rng([seed, 201]), self.sizes
        archs = [self.space.sample(rng) for _ in range(s.random)]
        how = recipe(s.epochs, s.batch)
        tried = [trained(self.space, arch, self.data, how, seed) for arch in archs]
        best = archs[int(np.argmax([t["val_accuracy"] for t in tried]))]
        return {"arch": self.space.to_string(best), "skips": skips(self.space, best), **self.truth(best)}

    def truth(self, arch: Arch) -> dict[str, Any]:
        """Accuracies in percent after the 200 epochs of the table, and how many architectures are better."""
        text = write_genotype(self.space, arch, "nasbench201")
        test = {f"{d}_test": self.table.accuracy(text, d) for d in DATA_SETS}
        better = int((self.table.rows["c10_test200"] > test["c10_test"]).sum())
        return {"genotype": text, **test, "rank": 1 + better}

    def reference(self, _: Rows) -> Row:
        """All architectures of the table, its best, and the one with most parameters."""
        rows = self.table.rows
        archs = [read_genotype(self.space, text) for text in rows.index]
        params = CostModel(self.space).of(archs)["params"]
        most = archs[int(np.argmax(params))]
        columns = {d: rows[f"{d}_test200"] for d in DATA_SETS}
        every = {d: [float(c.mean()), float(c.std())] for d, c in columns.items()}
        best = {d: float(c.max()) for d, c in columns.items()}
        skip = tuple(c.options.index("skip_connect") for c in self.space.choices)
        return {"every": every, "best": best, "most_params": self.truth(most), "all_skip": self.truth(skip)}
