"""Energy in the objective: a table of the user's own, contracted as every other cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.costs.energy import read_energy
from hwnas.pipeline.preflight import preflight
from hwnas.runs.config import SearchConfig
from hwnas.spaces import load_space
from targets.errors import UsageError

SPACE = load_space("nasbench201", image_size=16, in_channels=1, n_classes=10)
KEYS = sorted(SPACE.blocks())
ENERGY = dict(zip(KEYS, np.random.default_rng(0).uniform(0.1, 2.0, len(KEYS)).tolist(), strict=True))
TEXT = "key,energy_mj\n" + "".join(f"{key},{value!r}\n" for key, value in ENERGY.items())


def write(folder: Path, text: str) -> Path:
    path = folder / "energy.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_energy_of_an_architecture_is_that_of_its_blocks(tmp_path: Path) -> None:
    costs = CostModel(SPACE, None, read_energy(write(tmp_path, TEXT), SPACE.blocks()))
    rng = np.random.default_rng(1)
    for arch in [SPACE.sample(rng) for _ in range(5)]:
        exact = sum(ENERGY[key] for key in SPACE.block_keys(arch))
        assert costs.of([arch])["energy_mj"][0] == pytest.approx(exact)
        one_hot = Mix.one_hot(SPACE.choices, arch)
        assert float(costs.expected(one_hot)["energy_mj"]) == pytest.approx(exact, rel=1e-5)


def test_rows_of_other_spaces_may_be_there(tmp_path: Path) -> None:
    assert read_energy(write(tmp_path, TEXT + "other,3\n"), SPACE.blocks()) == ENERGY


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("key,energy_mj", "key,energy", "its columns must be key, energy_mj"),
        ("key,energy_mj", "key,energy_mj,more", "its columns must be key, energy_mj"),
        (
            f"{KEYS[0]},{ENERGY[KEYS[0]]!r}",
            f"{KEYS[0]},nan",
            "line 2: energy_mj must be a finite number from 0, got 'nan'",
        ),
        (f"{KEYS[0]},{ENERGY[KEYS[0]]!r}", f"{KEYS[0]},-1", "line 2: energy_mj must be a finite number"),
        (f"{KEYS[0]},{ENERGY[KEYS[0]]!r}", f"{KEYS[0]},much", "line 2: energy_mj must be a finite number"),
        (f"{KEYS[0]},{ENERGY[KEYS[0]]!r}", f"{KEYS[0]}", "line 2: energy_mj must be a finite number"),
        (KEYS[0], KEYS[1], "is there twice"),
        (KEYS[0], "another", f"1 of the {len(KEYS)} blocks of the space are not in it, first '{KEYS[0]}'"),
    ],
)
def test_a_faulty_table_is_one_clear_error(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        read_energy(write(tmp_path, TEXT.replace(old, new, 1)), SPACE.blocks())
    assert says in str(error.value)


def test_a_table_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_energy(path, SPACE.blocks())


def test_a_search_with_a_budget_on_energy_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"energy_mj needs a table .* give --energy-table FILE"):
        preflight(SearchConfig(budgets=("energy_mj<=3",)))
    with pytest.raises(UsageError, match=r"gone.csv: cannot be read"):
        preflight(SearchConfig(budgets=("energy_mj<=3",), energy_table=str(tmp_path / "gone.csv")))
    preflight(SearchConfig(budgets=("energy_mj<=3",), energy_table=str(write(tmp_path, TEXT))))
