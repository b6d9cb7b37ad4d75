"""A budget on energy in the main job: the table of the user is read once, before the device, and priced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hwnas import supernets
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.main_job.gradient import search_gradient
from hwnas.pipeline.main_job.plan import make_plan
from hwnas.pipeline.main_job.run_context import RunContext
from hwnas.pipeline.main_job.splits import split_data
from hwnas.pipeline.main_job.table import make_table
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from targets.errors import InfeasibleError, UsageError

pytestmark = pytest.mark.slow


SCALE: dict[str, Any] = {"image_size": 16, "in_channels": 1, "n_classes": 10}
WIDTH = 0.5


def measured(*_: Any, **__: Any) -> SimpleNamespace:
    """A latency table in which every block costs 0.1 ms; a device is no part of these tests."""
    return SimpleNamespace(
        context=SimpleNamespace(hash="none", facts={}, to_json=lambda: {"hash": "none", "facts": {}}),
        intercept_ms=0.0,
        slope=1.0,
        square_ms_per_mb2=0.0,
        latency_ms=lambda key: 0.1,
        weight_mb=lambda key: 0.0,
        errors=dict.fromkeys(("mape_pct", "within_5_pct", "noise_floor_pct", "macs_line_mape_pct"), 0.0),
        margin=0.05,
    )


@pytest.fixture(autouse=True)
def _no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr("lut.space_table", measured)


@contextmanager
def planned(folder: Path, table: str, budget: str) -> Iterator[RunContext]:
    """A run as far as its plan."""
    file = folder / "energy.csv"
    file.write_text(table)
    config = SearchConfig(
        data="digits", image_size=16, width_mult=WIDTH, method="darts", budgets=(budget,),
        energy_table=str(file),
        home=str(folder / "home"), batch_size=32, search_steps=4,
    )  # fmt: skip
    with create_search(folder / "run", config, log=Log(quiet=True)) as run:
        context = RunContext(run)
        for name, stage in (("splits", split_data), ("table", make_table), ("plan", make_plan)):
            done = stage(context)
            run.finish_stage(name, done.result, done.files)
        yield context


def test_the_search_returns_networks_within_the_energy_that_the_table_gives_them(tmp_path: Path) -> None:
    space = load_space("mobile", width_mult=WIDTH, **SCALE)
    energy = {key: 3.0 if "e6" in key else 1.0 for key in space.blocks()}
    table = "key,energy_mj\n" + "".join(f"{key},{mj}\n" for key, mj in energy.items())
    limit = 1.2 * sum(min(energy.values()) for _ in space.block_keys(tuple(0 for _ in space.choices)))
    with planned(tmp_path, table, f"energy_mj<={limit}") as context:
        (tmp_path / "energy.csv").unlink()  # the run has what it needs
        (context.path / "supernet.safetensors").write_bytes(safetensors_bytes(supernets.make(context.space)))
        context.run.finish_stage("supernet", {"log": []})
        seeds = search_gradient(context).result["seeds"]
    assert seeds
    for seed in seeds:
        parts = space.block_keys(space.from_string(seed["arch"]))
        assert seed["energy_mj"] == pytest.approx(sum(energy[key] for key in parts))
        assert seed["energy_mj"] <= limit


def test_what_the_table_or_the_budget_lacks_ends_the_run_before_the_search(tmp_path: Path) -> None:
    space = load_space("mobile", width_mult=WIDTH, **SCALE)
    first, *rest = sorted(space.blocks())
    lines = "".join(f"{key},1\n" for key in rest)
    lacking = f"1 of the {len(rest) + 1} blocks of the space are not in it"
    with (
        pytest.raises(UsageError, match=lacking),
        planned(tmp_path, f"key,energy_mj\n{lines}", "energy_mj<=100"),
    ):
        pass
    (tmp_path / "second").mkdir()
    with (
        pytest.raises(InfeasibleError, match="budget energy_mj<=1 cannot be met"),
        planned(tmp_path / "second", f"key,energy_mj\n{first},1\n{lines}", "energy_mj<=1"),
    ):
        pass
