"""What inputs are fed: numbers that their networks take, run by onnxruntime itself, and what a user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lut.predictor.models.input_metadata import fed_notes, inputs_of
from lut.predictor.models.input_values import parse_inputs
from lut.predictor.models.model_file import read_model
from profilers.session import Runner
from targets import load_target
from targets.errors import DamagedFileError, HwnasError, UsageError

HOST = load_target("host")
F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Inputs = Mapping[str, tuple[int, Sequence[Any]]]


def network(
    nodes: Sequence[Any],
    inputs: Inputs,
    weights: Mapping[str, Any] | None = None,
    out: int = F,
    version: int = 17,
) -> bytes:
    """A network with the output y. inputs: element type and shape by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info("y", out, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", version)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def read(data: bytes, folder: Path, **more: Any) -> bytes:
    (folder / "m.onnx").write_bytes(data)
    return read_model(folder / "m.onnx", **more)


def node(op: str, *inputs: str, out: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [out], name=op, **attributes)


TABLE = np.zeros((2, 4), np.float32)
NETWORKS: dict[str, bytes] = {
    "rows of a table": network([node("Gather", "w", "i")], {"i": (I64, [1, 50])}, {"w": TABLE}),
    "rows behind a cast and a reshape": network(
        [
            node("Cast", "i", out="c", to=TensorProto.INT32),
            node("Reshape", "c", "s", out="r"),
            node("Gather", "w", "r"),
        ],
        {"i": (I64, [5, 10])},
        {"w": TABLE, "s": np.array([50])},
    ),
    "elements": network([node("GatherElements", "x", "i", axis=1)], {"x": (F, [9, 2]), "i": (I64, [9, 40])}),
    "points": network(
        [node("ScatterND", "x", "i", "u")], {"x": (F, [3, 4]), "i": (I64, [2, 1]), "u": (F, [2, 4])}
    ),
    "a divisor": network([node("Div", "a", "b")], {"a": (I64, [99]), "b": (I64, [99])}, out=I64),
    "a shape": network([node("Reshape", "x", "s")], {"x": (F, [4, 8]), "s": (I64, [2])}),
    "a shape of more axes": network([node("Reshape", "x", "s")], {"x": (F, [4, 8]), "s": (I64, [4])}),
    "a slice": network(
        [node("Slice", "x", "b", "e", "a")],
        {"x": (F, [4, 8]), "b": (I64, [1]), "e": (I64, [1]), "a": (I64, [1])},
    ),
    "a limit": network([node("Range", "l", "h", "d")], {n: (I64, []) for n in "lhd"}, out=I64),
    "repeats": network([node("Tile", "x", "n")], {"x": (F, [4, 8]), "n": (I64, [2])}),
    "a number": network([node("Cast", "x", to=F)], {"x": (BOOL, [1, 8])}),
    "16 bits": network([node("Cast", "x", to=F)], {"x": (TensorProto.INT16, [1, 8])}),
    "4 bits": network([node("Cast", "x", to=F)], {"x": (TensorProto.INT4, [3, 5])}, version=21),
    "a type alone": network([node("CastLike", "x", "t")], {"x": (F, [4, 8]), "t": (F, [0])}),
    "an axis of no size": network([node("ReduceSum", "x", "a")], {"x": (F, [2, 0, 4]), "a": (I64, [1])}),
    "axes": network([node("ReduceL1", "x", "a")], {"x": (F, [2, 4]), "a": (I64, [2])}, version=18),
    "parts": network(
        [helper.make_node("Split", ["x", "n"], ["y", "z"])], {"x": (F, [5, 8]), "n": (I64, [2])}
    ),
    "classes": network([node("SoftmaxCrossEntropyLoss", "x", "i")], {"x": (F, [9, 3]), "i": (I64, [9])}),
    "boxes": network(
        [node("NonMaxSuppression", "b", "s", "n", "o", "t")],
        {"b": (F, [1, 6, 4]), "s": (F, [1, 1, 6]), "n": (I64, [1]), "o": (F, [1]), "t": (F, [1])},
        out=I64,
    ),
    "lengths": network(
        [node("RNN", "x", "w", "r", "", "n", hidden_size=2)],
        {"x": (F, [3, 1, 4]), "w": (F, [1, 2, 4]), "r": (F, [1, 2, 2]), "n": (TensorProto.INT32, [1])},
    ),
    "a ratio": network([node("Dropout", "x", "r", "t")], {"x": (F, [2, 4]), "r": (F, []), "t": (BOOL, [])}),
    "the upper half of a float": network([node("Cast", "x", to=F)], {"x": (TensorProto.BFLOAT16, [1, 8])}),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_the_numbers_fit_the_graph(case: str, tmp_path: Path) -> None:
    Runner(case, read(NETWORKS[case], tmp_path), HOST, 0).run(2)


def test_rows_are_those_of_the_table(tmp_path: Path) -> None:
    data = read(NETWORKS["rows behind a cast and a reshape"], tmp_path)
    assert inputs_of(data) == {"i": {"low": 0, "high": 1}}
    assert fed_notes(data)[0].startswith("fed i 0 to 1;")


def test_an_input_without_elements_is_told(tmp_path: Path) -> None:
    (note,) = fed_notes(read(network([node("Relu", "x")], {"x": (F, [0, 3])}), tmp_path))
    assert note.startswith("input 'x' of 0 x 3 has no elements")


def test_floats_of_fixed_shape_leave_the_file_as_it_is(tmp_path: Path) -> None:
    data = network([node("Relu", "x")], {"x": (F, [4, 8])})
    assert read(data, tmp_path) == data


def test_what_does_not_fit_ends_in_one_message(tmp_path: Path) -> None:
    nodes = [node("Add", "n", "n", out="s"), node("Reshape", "x", "s")]
    data = network(nodes, {"x": (F, [4, 8]), "n": (I64, [1])})
    with pytest.raises(UsageError, match=r"onnxruntime cannot run net: .*'n' 0 to 7: .*--input"):
        Runner("net", read(data, tmp_path), HOST, 0).run(1)
    values = parse_inputs(["n=16"])
    Runner("net", read(data, tmp_path, values=values), HOST, 0).run(1)


def test_a_size_that_decides_a_branch_is_fed(tmp_path: Path) -> None:
    """With the size in the file, the runtime would check the other branch against it too."""
    out = [helper.make_tensor_value_info("z", F, None)]
    branches = {
        f"{name}_branch": helper.make_graph([node("MatMul", "x", w, out="z")], name, [], out)
        for name, w in (("then", "w8"), ("else", "w4"))
    }
    nodes = [
        node("Shape", "x", out="s"),
        node("Gather", "s", "one", out="n"),
        node("Equal", "n", "eight", out="c"),
        node("If", "c", **branches),
    ]
    weights = {"w8": np.ones((8, 3), np.float32), "w4": np.ones((4, 3), np.float32), "one": np.array(1)}
    data = network(nodes, {"x": (F, ["n", "l"])}, {**weights, "eight": np.array(8)})
    for size in (8, 4):
        Runner("net", read(data, tmp_path, shapes={"x": (1, size)}), HOST, 0).run(1)


def test_values_as_they_are_written(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.arange(3), b=np.ones(2))
    np.save(tmp_path / "one.npy", np.arange(3))
    values = parse_inputs(["sr=16000", "ids=1,2,3", "f=0.5", "m=true,false", str(tmp_path / "two.npz")])
    assert {name: array.tolist() for name, array in values.items()} == {
        "sr": [16000],
        "ids": [1, 2, 3],
        "f": [0.5],
        "m": [True, False],
        "a": [0, 1, 2],
        "b": [1, 1],
    }
    assert parse_inputs([f"x={tmp_path / 'one.npy'}"])["x"].tolist() == [0, 1, 2]
    assert parse_inputs([f"b={tmp_path / 'two.npz'}"])["b"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("texts", "kind", "says"),
    [
        (["x"], UsageError, "NAME=VALUE"),
        (["x=a"], UsageError, "NAME=VALUE"),
        (["x=1", "x=2"], UsageError, "'x' twice"),
        (["x=none.npz"], DamagedFileError, "No such file"),
        (["x=bad.npz"], DamagedFileError, "no .npz"),
        (["c=two.npz"], UsageError, "none named 'c'"),
    ],
)
def test_values_that_make_no_sense(
    texts: list[str], kind: type[HwnasError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.npz").write_bytes(b"not an archive")
    np.savez("two.npz", a=np.arange(3), b=np.ones(2))
    with pytest.raises(kind, match=says):
        parse_inputs(texts)


@pytest.mark.parametrize(
    ("text", "says"),
    [("i=1,2", "takes 50 numbers or one"), ("i=0.5", "takes int64"), ("z=1", "no input 'z'")],
)
def test_values_that_do_not_fit(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        read(NETWORKS["rows of a table"], tmp_path, values=parse_inputs([text]))
