"""The reader of the NAS-Bench-201 table; the table itself is looked for where HWNAS_NB201 says."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nasbench201 import Table
from hwnas.costs.cost_model import CostModel
from hwnas.genotype import read_genotype, write_genotype
from hwnas.spaces import load_space
from hwnas.spaces.cells import CellSpace
from targets.errors import DamagedFileError, UsageError

HEAD = "arch_str,c10_val200,c10_test200,c100_val200,c100_test200,in16_val200,in16_test200\n"
ROW = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,10,9.5,1,1,0.8,0.8\n"


def test_accuracies_are_read_by_architecture(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(HEAD + ROW + ROW.replace("none", "skip_connect").replace("9.5", "54.3"))
    table = Table.read(path)
    assert table.accuracy("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|") == 9.5
    assert table.best()[1] == 54.3
    with pytest.raises(UsageError, match="not in the table"):
        table.accuracy("|none~0|")
    with pytest.raises(UsageError, match="no accuracies of c11"):
        table.accuracy("|none~0|", "c11")


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no CSV table"), ("a,b\n1,2\n", "has no columns"), (HEAD + ROW + ROW, "twice")],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DamagedFileError, match=says):
        Table.read(path)
    with pytest.raises(UsageError, match="does not exist"):
        Table.read(tmp_path / "none.csv")


@pytest.mark.skipif("HWNAS_NB201" not in os.environ, reason="HWNAS_NB201 names no CSV table of NAS-Bench-201")
def test_the_space_is_that_of_the_table() -> None:
    """All architectures, their parameters and the known optimum (CIFAR-10, 94.37 %)."""
    table = Table.read(Path(os.environ["HWNAS_NB201"]))
    space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
    assert isinstance(space, CellSpace)
    archs = [read_genotype(space, text) for text in table.rows.index]
    assert len(set(archs)) == space.size == len(table.rows)
    params = CostModel(space).of(archs)["params"] / 1e6
    # 150 of the 15,625 rows repeat the count of an architecture that computes the same with fewer weights.
    assert np.isclose(params, table.rows["c10_params_M"], rtol=1e-5).sum() == 15_475
    assert table.best()[1] == pytest.approx(94.3733, abs=1e-3)
    assert write_genotype(space, archs[7], "nasbench201") == table.rows.index[7]
