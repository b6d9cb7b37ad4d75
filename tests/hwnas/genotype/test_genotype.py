"""Genotypes: published strings mean what papers say, every form comes back, faults get one clear error."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.genotype import FORMS, read_genotype, write_genotype
from hwnas.spaces import load_space
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError


def load(name: str) -> CellSpace:
    space = load_space(name, image_size=32, in_channels=3, n_classes=10)
    assert isinstance(space, CellSpace)
    return space


DARTS, NB201 = load("darts"), load("nasbench201")
MOBILE: NetworkSpace = load_space("mobile", image_size=32, in_channels=3, n_classes=10)

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), "
    "('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
PC_DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), "
    "('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], "
    "normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), "
    "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
)
PDARTS = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0),('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3',0), ('dil_conv_5x5', 4)], "
    "normal_concat=range(2, 6), reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), "
    "('dil_conv_5x5', 2), ('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('dil_conv_3x3', 1), "
    "('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
)


@pytest.mark.parametrize(
    ("text", "params_m"),
    [(DARTS_V2, 3.3), (PC_DARTS, 3.6), (PDARTS, 3.4)],
    ids=["DARTS_V2", "PC_DARTS", "PDARTS"],
)
def test_published_genotypes_have_the_published_number_of_parameters(text: str, params_m: float) -> None:
    """Tables of Liu et al. 2019, Xu et al. 2020 and Chen et al. 2019: 20 cells, 36 channels, CIFAR-10."""
    arch = read_genotype(DARTS, text)
    assert CostModel(DARTS).of([arch])["params"][0] / 1e6 == pytest.approx(params_m, abs=0.06)
    for form in ("darts", "pt.darts", "key", "json", "matrix"):
        assert read_genotype(DARTS, write_genotype(DARTS, arch, form)) == arch


def test_a_genotype_names_its_edges() -> None:
    arch = read_genotype(DARTS, DARTS_V2)
    named = {c.name: c.options[k] for c, k in zip(DARTS.choices, arch, strict=True) if c.options[k] != "none"}
    assert len(named) == 16
    assert named["normal.0-5"] == "skip_connect" and named["normal.2-5"] == "dil_conv_3x3"
    assert named["reduce.2-3"] == "skip_connect" and named["reduce.1-3"] == "max_pool_3x3"


def test_the_form_of_pt_darts_is_read_node_by_node() -> None:
    flat = write_genotype(DARTS, read_genotype(DARTS, DARTS_V2), "pt.darts")
    assert flat.startswith(
        "Genotype(normal=[[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], [('sep_conv_3x3', 0), "
    )
    assert "normal_concat=range(2, 6)" in flat


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
@settings(deadline=None)
def test_every_form_of_a_cell_comes_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for space in (DARTS, NB201):
        arch = space.sample(rng)
        for form in ("key", "json", "matrix", "darts" if space is DARTS else "nasbench201"):
            assert read_genotype(space, write_genotype(space, arch, form)) == arch


def test_the_string_of_nasbench201_is_that_of_its_table() -> None:
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    arch = read_genotype(NB201, text)
    assert [NB201.operations[k] for k in arch] == [
        *("avg_pool_3x3", "nor_conv_1x1", "skip_connect", "nor_conv_1x1", "skip_connect", "skip_connect")
    ]
    assert write_genotype(NB201, arch, "nasbench201") == text


def test_a_mobile_architecture_is_read_by_its_key() -> None:
    arch = MOBILE.sample(np.random.default_rng(0))
    assert read_genotype(MOBILE, write_genotype(MOBILE, arch, "key")) == arch


NB = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "Genotype(normal=__import__('os').system('true'), normal_concat=[], reduce=[], reduce_concat=[])",
            "no genotype",
        ),
        ("Genotype(", "is no genotype"),
        ("Genotype()", "its fields are"),
        ("Genotype" + "(" * 5000, "is no genotype"),
        ("Genotype(" + "[" * 30000, "30009 characters"),
        (DARTS_V2.replace("sep_conv_3x3", "sep_conv_33", 1), "did you mean 'sep_conv_3x3'"),
        (
            DARTS_V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 2)", 1),
            "no edge from state 2 to state 2",
        ),
        (
            DARTS_V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 1)", 1),
            "two edges from state 1 to state 2",
        ),
        (DARTS_V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 0.0)", 1), "no list of"),
        (DARTS_V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', True)", 1), "no list of"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "[2, 3, 4]", 1), "normal_concat is"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "range(10**9)", 1), "is no genotype"),
        (
            DARTS_V2.replace(
                "('skip_connect', 0), ('dil_conv_3x3', 2)]", "('none', 0), ('dil_conv_3x3', 2)]"
            ),
            "has 1 edges",
        ),
        (NB, "space darts has cells normal, reduce with 2 inputs"),
        ("skip_connect", "is no architecture"),
        (DARTS_V2.replace("('sep_conv_3x3', 0)", f"0x{'f' * 5000}", 1), "thousands of digits is no list of"),
        (f"({'9' * 5000}, 1, 2)", "999… 1, 2.' is no architecture"),
        ('{"cells": []}', "has the key 'matrix' or 'cells'"),
        ('{"cells": {"normal": [{"node": 2}], "reduce": []}}', "KeyError"),
        ('{"cells": {"normal": 3, "reduce": []}}', "TypeError"),
        ('{"matrix": {"normal": [[null]]}}', "needs 6 rows of 6"),
        ("{", "is no JSON"),
    ],
)
def test_a_malformed_genotype_gets_one_clear_error(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        read_genotype(DARTS, text)


@pytest.mark.parametrize(
    "text",
    ["|", "||", "|none|", "|none~x|", "|none~²|", NB[:-8], NB.replace("none~1", "none~0", 1), DARTS_V2],
)
def test_a_malformed_string_of_nasbench201_gets_one_clear_error(text: str) -> None:
    with pytest.raises(UsageError):
        read_genotype(NB201, text)


def test_a_genotype_of_another_space_gets_one_clear_error() -> None:
    with pytest.raises(UsageError, match="describes cells, which space mobile does not have"):
        read_genotype(MOBILE, DARTS_V2)
    with pytest.raises(
        UsageError, match="normal and reduce cells; space nasbench201 has cells cell: it is of anoth"
    ):
        read_genotype(NB201, DARTS_V2)
    with pytest.raises(UsageError, match="has normal and reduce cells; space nasbench201 has"):
        write_genotype(NB201, NB201.sample(np.random.default_rng(0)), "darts")
    with pytest.raises(UsageError, match="unknown form 'dart'"):
        write_genotype(DARTS, read_genotype(DARTS, DARTS_V2), "dart")
    with pytest.raises(UsageError, match="too few or too many"):
        read_genotype(
            DARTS,
            write_genotype(DARTS, read_genotype(DARTS, DARTS_V2), "key").replace("none", "skip_connect"),
        )


def test_json_is_by_name() -> None:
    document = json.loads(write_genotype(DARTS, read_genotype(DARTS, DARTS_V2), "json"))
    assert document["space"] == "darts"
    assert document["cells"]["normal"][0] == {
        "node": 2,
        "edges": [{"from": 0, "op": "sep_conv_3x3"}, {"from": 1, "op": "sep_conv_3x3"}],
    }
    assert list(FORMS) == ["pt.darts", "darts", "nasbench201", "matrix", "json"]


@pytest.mark.parametrize(
    "text",
    [
        f"DARTS_V2 = {DARTS_V2}",
        f"2019-01-01 12:00:00 genotype = {DARTS_V2}\n",
        DARTS_V2[:-1] + ", connectN=None, connects=None)",
        DARTS_V2.replace("', 0)", "', np.int64(0))").replace("[2, 3, 4, 5]", "list(range(2, np.int64(6)))"),
    ],
    ids=["assignment", "line of a log", "fields of a successor", "numpy 2"],
)
def test_a_genotype_is_read_as_it_is_printed(text: str) -> None:
    assert read_genotype(DARTS, text) == read_genotype(DARTS, DARTS_V2)


def test_forms_of_nasbench201_as_they_are_printed() -> None:
    text = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|"
    arch = read_genotype(NB201, text)
    assert read_genotype(NB201, f"Structure(4 nodes with {text})") == arch
    # Numbers of the table's own list: none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3.
    assert read_genotype(NB201, "(3, 2, 0, 4, 1, 3)") == arch
    assert read_genotype(NB201, "[3,2,0,4,1,3]") == arch
    with pytest.raises(UsageError, match="another number of choices than 6"):
        read_genotype(NB201, "(3, 2, 0)")


@pytest.mark.parametrize(
    "text", ["DARTS_V2", DARTS_V2.replace("'sep_conv_3x3', 0", "f(0), 0", 1), "Genotype()", "{}"]
)
def test_the_example_of_an_error_is_valid(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_genotype(DARTS, text)
    message = str(caught.value)
    assert "object at 0x" not in message
    example = message.rpartition("one reads ")[2][1:-1].replace("\\'", "'")
    assert DARTS.valid(read_genotype(DARTS, example))
