"""An 8-bit file that keeps its promise: which layers go back to float, in which order, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import cli
from hwnas.exporting import promise
from hwnas.exporting.promise import MAX_FLOAT_SHARE, MAX_STEPS, chosen, macs_by_node, noisiest, steps_to
from hwnas.exporting.variants import Making
from lut.predictor.models.quantise import quantised
from lut.predictor.models.ranges import RANGES
from targets import load_target
from targets.int8_form import INT8_SYMMETRIC
from tests.support.exports import digits, fake_costs, independent_accuracy, write_search


def chain(n: int, outlier: int | None = None) -> bytes:
    """`n` pointwise convolutions of 8 channels; that of `outlier` has one weight which spoils its scale."""
    rng = np.random.default_rng(0)
    names = ["image", *(f"t{i}" for i in range(n))]
    weights, nodes = [], []
    for i in range(n):
        values = rng.standard_normal((8, 8, 1, 1)).astype(np.float32) / 3
        if i == outlier:
            values[:, 0] *= 300
        weights.append(numpy_helper.from_array(values, f"w{i}"))
        nodes.append(helper.make_node("Conv", [names[i], f"w{i}"], [names[i + 1]], name=f"conv{i}"))
    ends = [helper.make_tensor_value_info(v, TensorProto.FLOAT, [1, 8, 4, 4]) for v in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def images(n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    rows = [rng.standard_normal((1, 8, 4, 4)).astype(np.float32) for _ in range(n)]
    for row in rows:
        row[:, 0] /= 300  # what the outlier's large weight reads is small
    return [{"image": row} for row in rows]


def making(model: bytes) -> Making:
    return Making(
        model=model, form=INT8_SYMMETRIC, calibration=lambda: iter(images(8)), target=load_target("host")
    )


def test_macs_by_hand() -> None:
    # 8 x 8 weights at 4 x 4 places
    assert macs_by_node(chain(2)) == {"conv0": 1024, "conv1": 1024}


def test_the_layer_with_the_spoilt_scale_is_the_noisiest() -> None:
    model = chain(4, outlier=0)
    content = quantised(model, INT8_SYMMETRIC, images(8))
    assert noisiest(content, model, images(4))[0] == "conv0"


def test_layers_go_back_to_float_until_the_accuracy_is_there() -> None:
    model = chain(12, outlier=0)
    scores: Iterator[float] = iter([0.1, 0.2, 0.15, 0.3, 0.9, 0.95])
    steps = steps_to(making(model), lambda content: next(scores), 0.9, images(4))
    assert [step.val_accuracy for step in steps] == [0.1, 0.2, 0.15, 0.3, 0.9]
    averaged = ["moving average"] * 2  # the best of the three goes on
    assert [step.ranges for step in steps] == [*RANGES, *averaged]
    assert [len(step.floats) for step in steps] == [0, 0, 0, 1, 2] and steps[3].floats[0] == "conv0"
    assert [step.float_share for step in steps] == pytest.approx([0, 0, 0, 1 / 12, 2 / 12])
    assert chosen(steps, 0.9) is steps[4] and chosen(steps, 0.99) is steps[4]
    held = onnx.load_model_from_string(steps[4].content).graph
    writers = {out: node.op_type for node in held.node for out in node.output}
    inputs = {n.name: writers.get(n.input[1], "weight") for n in held.node if n.op_type == "Conv"}
    assert {name for name, kind in inputs.items() if kind == "weight"} == set(steps[4].floats)


def test_it_ends_where_a_fifth_of_the_arithmetic_is_float(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = steps_to(making(chain(12)), lambda content: 0.0, 1.0, images(2))
    assert max(step.float_share for step in steps) == pytest.approx(2 / 12) and MAX_FLOAT_SHARE < 3 / 12
    monkeypatch.setattr(promise, "MAX_STEPS", 4)
    assert len(steps_to(making(chain(12)), lambda content: 0.0, 1.0, images(2))) == 4 < MAX_STEPS


UINT8_TARGET = """
name = "host"
provider = "cpu"
threads = 1
graph_level = "all"
precision = "int8"
spinning = false

[quantisation]
activations = "uint8"
symmetric = false
reduced_range = false
per_channel = false

[reach]
transport = "local"
"""


@pytest.mark.slow
def test_an_export_keeps_the_promise_and_shows_what_it_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_costs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_search(tmp_path / "run", tmp_path / "home")
    (tmp_path / "coarse.toml").write_text(UINT8_TARGET)
    line = ["export", "run", "--home", "home", "--target", "coarse.toml", "--quiet", "--json", "--max-drop"]
    # Nothing may be lost: more than one image of 359 is, unless layers go back to float.
    assert cli.run([*line, "0", "--out", "strict"]) == 0
    document = json.loads(capsys.readouterr().out)
    (record,) = [r for r in (*document["variants"], *document["rejected"]) if r["name"] == "int8"]
    data = digits(tmp_path / "home")
    base = independent_accuracy(tmp_path / "run/models/n1/model.onnx", data, "val")
    if not record["rejected"]:
        assert independent_accuracy(Path("strict", record["file"]), data, "val") >= base
    for step in record["steps"]:
        assert 0 <= step["float_share"] <= MAX_FLOAT_SHARE and step["latency_p50_ms"] == 1.0
    assert sum(step["chosen"] for step in record["steps"]) == (1 if record["steps"] else 0)
    assert ("What the accuracy of 8 bits costs" in Path("strict/export.html").read_text()) == bool(
        record["steps"]
    )
    # Anything may be lost: the first file is taken.
    assert cli.run([*line, "1", "--out", "loose"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [r["steps"] for r in document["variants"] if r["name"] == "int8"] == [[]]
