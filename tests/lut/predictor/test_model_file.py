"""Any file that a user may name: complete models come out, all else is refused with a reason, at once."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from lut.predictor.models.input_metadata import fed_notes, fixed, inputs_of, with_inputs
from lut.predictor.models.input_shapes import parse_shapes
from lut.predictor.models.model_file import read_model, read_models
from lut.predictor.models.protobuf import edited, field, varint, without
from profilers.graph import read_graph
from profilers.protobuf import fields
from targets.errors import DamagedFileError, HwnasError, UsageError

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(shape: list[Any] | None = None, **more: Any) -> onnx.ModelProto:
    """y = x @ w."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", 4])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(WEIGHTS, "w")], **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(data: bytes, x: np.ndarray[Any, Any]) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def save(path: Path, shape: list[Any] | None) -> Path:
    path.write_bytes(model(shape).SerializeToString())
    return path


def external(folder: Path, location: str, **entry: Any) -> Path:
    """A model whose weights are said to lie at `location`."""
    made = model([2, 3])
    set_external_data(made.graph.initializer[0], location, **entry)
    made.graph.initializer[0].ClearField("raw_data")
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_a_whole_model_is_left_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [2, 3])
    assert read_model(path) == path.read_bytes()
    assert read_model(path, {"x": (2, 3)}) == path.read_bytes()


def test_external_data_is_put_in(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/w.bin").write_bytes(b"\0" * 8 + WEIGHTS.tobytes() + b"\1" * 8)
    data = read_model(external(tmp_path, "data/w.bin", offset=8, length=48))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(run(data, x), x @ WEIGHTS)
    assert not read_graph(data, "m").weights["w"].external
    onnx.checker.check_model(onnx.load_from_string(data))


def test_external_data_in_a_branch_and_in_a_constant_is_found(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    weight = numpy_helper.from_array(WEIGHTS, "v")
    set_external_data(weight, "w.bin")
    weight.ClearField("raw_data")
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])]
    stored = helper.make_graph([helper.make_node("Identity", ["v"], ["y"])], "a", [], out, [weight])
    literal = helper.make_graph([helper.make_node("Constant", [], ["y"], value=weight)], "b", [], out)
    branch = helper.make_node("If", ["x"], ["y"], then_branch=stored, else_branch=literal)
    x = helper.make_tensor_value_info("x", TensorProto.BOOL, [])
    graph = helper.make_graph([branch], "g", [x], out)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    data = read_model(tmp_path / "m.onnx")
    for choice in (True, False):
        np.testing.assert_array_equal(run(data, np.array(choice)), WEIGHTS)


@pytest.mark.parametrize(
    ("location", "entry", "says"),
    [
        ("../secret.bin", {}, "outside the folder"),
        ("a/../../secret.bin", {}, "outside the folder"),
        ("..\\secret.bin", {}, "outside the folder"),
        ("C:\\secret.bin", {}, "outside the folder"),
        ("{outside}", {}, "outside the folder"),
        ("link.bin", {}, "outside the folder"),
        ("folder_link/secret.bin", {}, "outside the folder"),
        ("", {}, "outside the folder"),
        ("missing.bin", {}, "No such file"),
        ("folder", {}, "folder"),
        ("short.bin", {}, "ends too early"),
        ("w.bin", {"offset": 4}, "ends too early"),
        ("w.bin", {"length": 47}, "wrong offset or length"),
        ("w.bin", {"offset": -4}, "wrong offset or length"),
    ],
)
def test_external_data_elsewhere_is_refused(
    location: str, entry: dict[str, int], says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "folder_link").symlink_to(tmp_path)
    (folder / "w.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "short.bin").write_bytes(b"1234")
    path = external(folder, location.format(outside=tmp_path / "secret.bin"), **entry)
    with pytest.raises(DamagedFileError, match=says):
        read_model(path)


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    whole = model([2, 3]).SerializeToString()
    files = {
        "empty": b"",
        "Python pickle": pickle.dumps({"weights": [1.0]}),
        "zip archive": b"PK\x03\x04" + b"\0" * 50,
        "not an ONNX model": random.Random(0).randbytes(5000),
        "not an ONNX model: no graph": b"",
    }
    for says, content in files.items():
        path.write_bytes(content or (b"" if says == "empty" else b"\x08\x08"))
        with pytest.raises(DamagedFileError, match=says):
            read_model(path)
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFileError, match=r"m\.onnx"):
            read_model(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    for name, says in (("none.onnx", "No such file"), (".", "folder")):
        with pytest.raises(DamagedFileError, match=says):
            read_model(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    with pytest.raises(DamagedFileError, match="no regular file"):
        read_model(tmp_path / "pipe")
    with pytest.raises(DamagedFileError, match="no regular file"):
        read_model(Path("/dev/zero"))


def test_more_than_an_onnx_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(DamagedFileError, match="2 GB"):
        read_model(path)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (["?", "?"], r"open shape \(\?, \?\)"),
        (["", "n"], r"open shape \(\?, n\)"),
        (["words", 3], r"open shape \(words, 3\); .* --shape x=1,3"),
        ([None], r"open shape \(\?\)"),
        (["n", "c", "h", 7], r"--shape x=1,3,224,7"),
        (None, r"any number of axes"),
    ],
)
def test_open_shapes_are_asked_for(shape: list[Any] | None, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        read_model(save(tmp_path / "m.onnx", shape))


@pytest.mark.parametrize("shape", [["batch", 3], [None, 3], [2, "c"], ["?", "?"], ["", ""], None])
def test_open_shapes_are_given(shape: list[Any] | None, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", shape)
    before = path.read_bytes()
    data = read_model(path, {"x": (2, 3)})
    assert path.read_bytes() == before
    assert read_graph(fixed(data), "m").inputs["x"].shape == (2, 3)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(run(data, x), x @ WEIGHTS)


def test_axes_of_one_name_have_one_size(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "words"]) for n in ("a", "b")]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "words"])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", inputs, [out])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    found = read_graph(fixed(read_model(path, {"a": (1, 128)})), "m").inputs
    assert found["a"].shape == found["b"].shape == (1, 128)
    with pytest.raises(UsageError, match="axis words of input 'b' is 128"):
        read_model(path, {"a": (1, 128), "b": (1, 64)})


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ({"z": (1, 3)}, "no input 'z'; known: x"),
        ({"x": (1, 3, 4)}, "has 2 axes"),
        ({"x": (1, 4)}, "is 3 already"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        read_model(save(tmp_path / "m.onnx", ["batch", 3]), shapes)


def test_shapes_as_they_are_written() -> None:
    assert parse_shapes(["x=1,3,8,8", "serving:0=1"]) == {"x": (1, 3, 8, 8), "serving:0": (1,)}
    for text in ("x", "x=", "=1,2", "x=1,b", "x=0,3", "x=1,-3", "x=1.5"):
        with pytest.raises(UsageError, match="NAME=SIZE"):
            parse_shapes([text])
    with pytest.raises(UsageError, match="twice"):
        parse_shapes(["x=1", "x=1"])


@pytest.mark.slow
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_ends_in_a_message(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    raw = bytearray(model([2, 3]).SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "m.onnx"
    path.write_bytes(bytes(raw))
    try:
        assert read_model(path)
    except HwnasError as error:
        assert "m.onnx" in str(error)


def test_graphs_nested_without_end(tmp_path: Path) -> None:
    graph = b""
    for _ in range(3000):  # a node with an attribute with a graph with a node ...
        graph = field(1, field(5, field(6, graph)))
    path = tmp_path / "m.onnx"
    path.write_bytes(field(7, graph + field(12, field(1, b"y"))) + field(8, field(2, 17)))
    with pytest.raises(DamagedFileError, match="not an ONNX model"):
        read_model(path)


def test_varints_as_the_protobuf_documents_say() -> None:
    assert varint(150) == b"\x96\x01"  # protobuf.dev, "Base 128 Varints"
    assert field(1, 150) == b"\x08\x96\x01"
    assert field(2, b"testing") == b"\x12\x07testing"
    assert without(memoryview(b"\x08\x96\x01\x12\x01a"), [2]) == b"\x08\x96\x01"
    assert dict(fields(memoryview(b"\x08\x96\x01")))[1] == 150
    assert edited(memoryview(b"\x08\x96\x01"), {"input": bytes}) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html></html>", "web page"),
        (b"\x1f\x8b\x08\0", "gunzip"),
        (b"# Read me\n\nThe model lies elsewhere.\n", "a text file"),
        (b" \0\0\0ORTM" + b"\0" * 90, "format ORT"),
        (b"2\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F32"}}', "safetensors"),
    ],
)
def test_other_formats_are_told_by_name(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(DamagedFileError, match=says):
        read_model(tmp_path / "m.onnx")


def test_a_number_where_a_text_belongs_is_damage(tmp_path: Path) -> None:
    """`bytes(2**40)` would ask for a terabyte of zeros."""
    node = field(1, b"x") + field(2, b"y") + field(4, 1 << 40)
    (tmp_path / "m.onnx").write_bytes(
        field(7, field(1, node) + field(12, field(1, b"y"))) + field(8, field(2, 17))
    )
    with pytest.raises(DamagedFileError, match="a number where bytes belong"):
        read_model(tmp_path / "m.onnx")


def test_data_beside_the_model_that_a_link_leads_to_is_read(tmp_path: Path) -> None:
    """The cache of a model hub: `snapshots/0/*` are links to `blobs/*`."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0"
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    external(blobs, "model.onnx_data").rename(blobs / "a1")
    (blobs / "b2").write_bytes(WEIGHTS.tobytes())
    (snapshot / "model.onnx").symlink_to("../../blobs/a1")
    (snapshot / "model.onnx_data").symlink_to("../../blobs/b2")
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(run(read_model(snapshot / "model.onnx"), x), x @ WEIGHTS)


def test_a_shape_counts_for_the_models_that_have_the_input(tmp_path: Path) -> None:
    whole, open_ = save(tmp_path / "a.onnx", [2, 3]), tmp_path / "b.onnx"
    other = model(["n", 3])
    other.graph.input[0].name = other.graph.node[0].input[0] = "image"
    open_.write_bytes(other.SerializeToString())
    models = dict(read_models([whole, open_], {"image": (1, 3)}, {}))
    data = models[str(open_)]
    assert isinstance(data, bytes)
    assert inputs_of(data) == {"image": {"shape": [1, 3]}}
    assert models[str(whole)] == whole.read_bytes()
    with pytest.raises(UsageError, match="none of the models has an input 'z'; known: image, x"):
        read_models([whole, open_], {"z": (1, 3)}, {})


@pytest.mark.parametrize("axis", ["batch", "N", "unk__12", "", "?", None])
def test_an_open_batch_is_one_and_that_is_said(tmp_path: Path, axis: str | None) -> None:
    data = read_model(save(tmp_path / "a.onnx", [axis, 3]))
    assert inputs_of(data) == {"x": {"shape": [1, 3], "assumed": True}}
    assert fed_notes(data) == ["an open batch is taken as 1; for another give --shape x=8,3"]
    given = read_model(tmp_path / "a.onnx", {"x": (8, 3)})
    assert (inputs_of(given), fed_notes(given)) == ({"x": {"shape": [8, 3]}}, [])


def test_one_file_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.onnx", [2, 3])
    (tmp_path / "b.onnx").write_bytes(b"")
    answers = dict(read_models([tmp_path / "b.onnx", whole], {"x": (2, 3)}, {}))
    assert isinstance(answers[str(tmp_path / "b.onnx")], DamagedFileError)
    assert isinstance(answers[str(whole)], bytes)


def test_what_is_fed_is_said_once() -> None:
    data = model([2, 3]).SerializeToString()
    once = with_inputs(data, {"x": {"shape": [2, 3]}})
    assert inputs_of(with_inputs(once, {"x": {"low": 1}})) == {"x": {"low": 1}}
    assert with_inputs(once, {}) == data
    onnx.checker.check_model(onnx.load_from_string(once))


def test_nodes_of_one_name_get_different_ones(tmp_path: Path) -> None:
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    then, other = (
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="relu")], name, [], out)
        for name in "ab"
    )
    inputs = [
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
    ]
    branch = helper.make_node("If", ["c"], ["y"], name="relu", then_branch=then, else_branch=other)
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(helper.make_graph([branch], "g", inputs, out)).SerializeToString()
    )
    data = read_model(tmp_path / "m.onnx")
    assert sorted(node.name for node in read_graph(data, "m").every_node()) == ["relu", "relu_0", "relu_1"]
    onnx.checker.check_model(onnx.load_from_string(data))
