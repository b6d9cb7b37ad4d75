"""What a space gives to be measured: blocks and networks at a batch size, and whose a node is by its name."""

from __future__ import annotations

from collections import Counter
from typing import Any

import onnx
import pytest
from torch import nn

from hwnas.networks.modules import module_of
from hwnas.pipeline import networks
from hwnas.spaces import load_space

SPACE = load_space("mobile", image_size=16, in_channels=3, n_classes=10)
SMALL = {"cells": 3, "channels": 4}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scale"),
    [("mobile", {}), ("darts", SMALL), ("nasbench201", SMALL), ("enas-macro", {"channels": 4})],
)
def test_the_convolutions_of_a_network_are_found_at_their_block_by_its_prefix(
    name: str, scale: dict[str, Any]
) -> None:
    space = load_space(name, image_size=16, in_channels=3, n_classes=10, **scale)
    whole = networks.wholes(space, 0, n=2)[1]
    assert len(whole.prefixes) == len(set(whole.prefixes)) == len(whole.blocks)
    graph = onnx.load_from_string(whole.onnx()).graph
    shapes = {w.name: tuple(w.dims) for w in graph.initializer}
    found: dict[str, list[tuple[int, ...]]] = {prefix: [] for prefix in whole.prefixes}
    for node in graph.node:
        owners = [prefix for prefix in whole.prefixes if node.name.startswith(prefix)]
        # what joins blocks, such as a sum, is no block's: it follows the kernel before
        assert len(owners) == 1 or (not owners and node.op_type not in ("Conv", "Gemm", "MaxPool"))
        if node.op_type == "Conv":
            found[owners[0]].append(shapes[node.input[1]])
    for key, prefix in zip(whole.blocks, whole.prefixes, strict=True):
        layers = module_of(space.blocks()[key]).modules()
        expected = [tuple(m.weight.shape) for m in layers if isinstance(m, nn.Conv2d)]
        assert sorted(found[prefix]) == sorted(expected), (key, prefix)


def test_every_block_occurs_in_the_networks_that_cover_and_often() -> None:
    found = networks.covering(SPACE, 0, often=3)
    counts = Counter(key for whole in found for key in whole.blocks)
    assert set(counts) == set(SPACE.blocks())
    # the same network may be drawn twice, and then counts once
    assert sum(n >= 3 for n in counts.values()) > 0.95 * len(counts)
    assert len({whole.key for whole in found}) == len(found)
    assert [w.key for w in networks.covering(SPACE, 0, often=3)] == [w.key for w in found]


def test_batches_are_in_the_files_the_numbers_and_the_context() -> None:
    one, four = ({p.key: p for p in networks.parts(SPACE, batch)} for batch in (1, 4))
    assert one.keys() == four.keys()
    key = next(k for k in one if k.startswith("mb"))
    weights = one[key].features["weight_bytes"]
    assert four[key].macs == 4 * one[key].macs
    assert four[key].features["weight_bytes"] == weights
    assert four[key].features["bytes"] - weights == pytest.approx(4 * (one[key].features["bytes"] - weights))
    files = (four[key].onnx(), networks.wholes(SPACE, 0, n=1, batch=4)[0].onnx())
    for file in files:
        shape = onnx.load_from_string(file).graph.input[0].type.tensor_type.shape
        assert shape.dim[0].dim_value == 4
    assert networks.exporter(1) != networks.exporter(4)


@pytest.mark.parametrize(
    ("name", "image_size", "least", "most"),
    # 0.8 minutes are known to do for `mobile` at 32 px, 3.5 at 224 px; 28 networks of `darts` take 50 to 77
    # CPU-seconds to export, of which a table allows itself 40 %.
    [
        ("mobile", 32, 0.8, 0.8),
        ("mobile", 224, 3.0, 4.0),
        ("nasbench201", 32, 0.8, 0.8),
        ("darts", 32, 3.2, 5.0),
    ],
)
def test_a_table_takes_longer_for_many_blocks_and_large_images(
    name: str, image_size: int, least: float, most: float
) -> None:
    space = load_space(name, image_size=image_size, in_channels=3, n_classes=10)
    assert least <= networks.default_minutes(space) <= most
