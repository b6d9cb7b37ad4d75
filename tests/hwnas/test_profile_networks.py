"""What a space gives to be measured: blocks and networks at a batch size, and whose a node is by its name."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest

from hwnas.pipeline import networks
from hwnas.spaces import load_space

SPACE = load_space("mobile", image_size=16, in_channels=3, n_classes=10)


def test_every_node_of_an_exported_network_begins_with_one_prefix_of_its_blocks() -> None:
    whole = networks.wholes(SPACE, 0, n=2)[1]
    assert len(whole.prefixes) == len(set(whole.prefixes)) == len(whole.parts)
    nodes = onnx.load_from_string(whole.onnx()).graph.node
    # an Identity passes on a tensor of zeros that several layers share; no kernel comes of it
    named = [node.name for node in nodes if node.op_type != "Identity"]
    owners = [[p for p in whole.prefixes if name.startswith(p)] for name in named]
    assert all(len(found) == 1 for found in owners)
    assert {found[0] for found in owners} == set(whole.prefixes)


def test_every_block_occurs_in_the_networks_that_cover_and_often() -> None:
    found = networks.covering(SPACE, 0, often=3)
    counts = Counter(key for whole in found for key in whole.parts)
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
