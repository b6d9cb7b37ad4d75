"""Features by hand: what a few architectures of each kind of space look like."""

import math
from typing import Any

import numpy as np
import pytest

from hwnas.core.choice import Choice
from hwnas.core.features import OptionCounts, stages
from hwnas.core.network_space import NetworkSpace
from hwnas.core.space import Space
from hwnas.spaces import load_space
from hwnas.spaces.paths import path_features
from tests.support.spaces import cell_space

SIZE: dict[str, Any] = {"image_size": 32, "in_channels": 3, "n_classes": 10}


def test_options_are_counted_per_stage_and_in_all_and_numbers_are_numbers() -> None:
    operations = ("conv", "pool")
    choices = [Choice("width", ("8", "16")), *(Choice(f"s{i // 2}.{i % 2}", operations) for i in range(4))]
    space = Space("hand", choices)
    counts = OptionCounts(space.choices).of(np.array([[1, 0, 0, 0, 1], [0, 1, 1, 1, 1]]))
    # width; conv in s0, s1, all; pool in s0, s1, all
    assert counts.tolist() == [[16, 2, 1, 3, 0, 1, 1], [8, 0, 0, 0, 2, 2, 4]]


def test_many_stages_are_merged_in_order() -> None:
    space = Space("long", [Choice(f"layer{i}.op", ("a", "b")) for i in range(12)])
    assert stages(space.choices) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def paths_of(text: str) -> list[float]:
    space = cell_space("nasbench201")
    edges = np.array([space.canonical(space.from_string(text))])
    return [float(column[0]) for column in path_features(space.wiring, space.ops, edges)]


def test_paths_of_a_cell_by_hand() -> None:
    """Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3; log(1 + paths), most, mean, reach, fewest that are no skip."""
    # 0-3 skip; 0-1-3 conv3, conv3; 0-2-3 conv1, conv3; 0-1-2-3 conv3, skip, conv3
    names = ["nor_conv_3x3", "nor_conv_1x1", "skip_connect", "skip_connect", "nor_conv_3x3", "nor_conv_3x3"]
    found = paths_of(":".join(names))
    assert found == pytest.approx([math.log(5), 2, (0 + 2 + 2 + 2) / 4, 4, 0])


def test_dead_edges_and_cells_without_a_path() -> None:
    # 0-1 leads nowhere, so that only 0-2-3 lives: a pooling (reach 2) and a convolution
    names = ["nor_conv_3x3", "avg_pool_3x3", "none", "none", "none", "nor_conv_3x3"]
    assert paths_of(":".join(names)) == pytest.approx([math.log(2), 1, 1, 4, 2])
    assert paths_of(":".join(["none"] * 6)) == [0, 0, 0, 0, -1]


@pytest.mark.parametrize("name", ["mobile", "nasbench201", "darts", "enas-macro", "pnas"])
def test_every_space_has_features_with_its_macs_and_parameters(name: str) -> None:
    space = load_space(name, **SIZE)
    assert isinstance(space, NetworkSpace)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(40)]
    groups = space.features(archs)
    assert "size" in groups and all(len(values) == 40 for values in groups.values())
    structure = np.hstack(list(groups.values()))
    assert np.isfinite(structure).all() and structure.shape[1] < 150
    blocks = space.blocks()
    for metric in ("macs", "params"):
        exact = [math.log1p(sum(getattr(blocks[k], metric) for k in space.block_keys(a))) for a in archs]
        assert any(np.allclose(column, exact) for column in structure.T)
    assert [values.shape for values in space.features([]).values()] == [
        (0, values.shape[1]) for values in groups.values()
    ]


def test_depth_and_means_of_a_stage() -> None:
    space = load_space("mobile", **SIZE)
    rng = np.random.default_rng(1)
    archs = [space.sample(rng) for _ in range(30)]
    structure = np.hstack(list(space.features(archs).values()))
    rows = [[r for r in space.describe(a) if r["kind"] not in ("stem", "head")] for a in archs]
    depth = [float(len(r)) for r in rows]
    # the head stands at the width of the last stage and so counts to it
    assert any(np.allclose(column, np.array(depth) + 1) for column in structure.T)
    first = [[b for b in r if b["out"][1] == r[0]["out"][1]] for r in rows]
    kernel = [np.mean([b["kernel"] for b in r]) for r in first]
    assert any(np.allclose(column, kernel) for column in structure.T)
