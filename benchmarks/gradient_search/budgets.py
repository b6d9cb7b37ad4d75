"""Part (d): the space mobile under three latency budgets, each through the whole main job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.costs.cost_model import CostModel
from hwnas.pipeline import main_job
from hwnas.pipeline.latency_tables import find_device, latency_table
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.search_run import create_search, open_search
from hwnas.spaces import load_space
from targets.files import read_json

from .jobs import Job, Row, Rows
from .subset import Subset

BUDGETS = {"tight": 0.2, "middle": 0.5, "loose": 0.8}
"""Quantiles of the predicted latency of random architectures."""
_RANDOM = 200


@dataclass(frozen=True)
class Sizes:
    """per_class: training images; 15 % of them validate. The other fields are those of `hwnas search`."""

    image_size: int = 32
    per_class: int = 1000
    test: int = 500
    batch_size: int = 64
    supernet_steps: int = 200
    search_steps: int = 60
    generations: int = 10
    population: int = 24
    picks: int = 5
    random_baselines: int = 8
    train_epochs: int = 1
    profile_minutes: float = 0.8

    def times(self, factor: float) -> Sizes:
        """With so many times the steps and epochs."""
        counts = ("supernet_steps", "search_steps", "train_epochs")
        return replace(self, **{k: max(1, round(getattr(self, k) * factor)) for k in counts})


@dataclass(frozen=True)
class BudgetJobs:
    """One job fixes the budgets, then one job per budget; the main job resumes by itself."""

    sizes: Sizes
    source: Path
    target: str
    out: Path

    def jobs(self) -> list[Job]:
        asked = asdict(self.sizes)
        return [
            Job("budgets", asked, self.budgets, 1.0),
            *(Job(f"d/{name}", asked, partial(self.searched, name), 10.0, ("budgets",)) for name in BUDGETS),
        ]

    def budgets(self, before: Rows) -> Row:
        """Milliseconds by name."""
        s = self.sizes
        space = load_space("mobile", image_size=s.image_size, in_channels=3, n_classes=10)
        table, _ = latency_table(
            space,
            find_device(self.target, self.home),
            home=self.home,
            minutes=s.profile_minutes,
            seed=0,
            log=Log(),
        )
        rng = np.random.default_rng(0)
        ms = CostModel(space, table).of([space.sample(rng) for _ in range(_RANDOM)])["latency_ms"]
        return {"ms": {name: float(f"{np.quantile(ms, share):.3g}") for name, share in BUDGETS.items()}}

    @property
    def home(self) -> Path:
        return self.out / "home"

    def searched(self, name: str, rows: Rows) -> Row:
        budget_ms = rows["budgets"]["ms"][name]
        path = self.out / "runs" / name
        with self._run(path, budget_ms) as run:
            main_job.search(run)
        front = read_json(path / "front.json", "front")
        known = [p for p in front["points"] if p["measured"] and "test_accuracy" in p["measured"]]
        return {"budget_ms": budget_ms, "chosen": front["chosen"], "models": [_columns(p) for p in known]}

    def _run(self, path: Path, budget_ms: float) -> RunDir:
        if (path / "config.resolved.json").exists():
            return open_search(path)
        s = asdict(self.sizes)
        subset = Subset((0, 10), (0, s.pop("per_class")), (0, 0), s.pop("test"))
        config = SearchConfig(
            data=str(subset.folder(self.source, self.out / "data")),
            space="mobile",
            targets=(self.target,),
            budgets=(f"latency_ms<={budget_ms}",),
            workers=1,
            home=str(self.home),
            **s,
        )
        return create_search(path, config)


def _columns(point: dict[str, Any]) -> Row:
    said = ("arch_id", "origin", "pick")
    measured = ("latency_p50_ms", "latency_ci_high_ms", "flag", "val_accuracy", "test_accuracy")
    columns = {**{k: point[k] for k in said}, **{k: point["measured"][k] for k in measured}}
    return columns | {"macs": point["predicted"]["macs"]}
