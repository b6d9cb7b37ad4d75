"""The generated networks: what they are made of, what they cost, and that real networks hold nothing else."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from random import Random

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import shape_inference

from lut.predictor.generate import ROWS, Generated, generate
from lut.predictor.generate.graph import GraphBuilder, Value
from lut.predictor.generate.operators import OPERATORS
from lut.predictor.kernels.features import features_of
from lut.predictor.layout import extended_kernels
from targets.errors import UsageError

SEED = 0


@pytest.fixture(scope="module")
def profile() -> list[Generated]:
    """As many as a profile measures."""
    return generate(60, SEED)


@pytest.fixture(scope="module")
def networks(profile: list[Generated]) -> list[Generated]:
    """The first eight of them, for what needs the files."""
    return profile[:8]


@pytest.fixture(scope="module")
def files(networks: list[Generated]) -> dict[str, bytes]:
    return {n.key: n.onnx() for n in networks}


@pytest.mark.slow
def test_a_longer_list_begins_with_the_shorter_one(profile: list[Generated], files: dict[str, bytes]) -> None:
    again = generate(5, SEED)
    assert [(n.key, n.macs, n.rows) for n in again] == [(n.key, n.macs, n.rows) for n in profile[:5]]
    assert again[3].onnx() == files[again[3].key]
    assert len({n.key for n in profile}) == len(profile)


@pytest.mark.slow
def test_another_seed_is_another_list(networks: list[Generated]) -> None:
    assert {n.macs for n in generate(3, SEED + 1)}.isdisjoint(n.macs for n in networks)


def test_none_is_a_list_and_fewer_is_an_error() -> None:
    assert generate(0, SEED) == []
    with pytest.raises(UsageError, match="at least 0"):
        generate(-1, SEED)


def test_every_prefix_has_seen_all_kinds_nearly_equally_often(profile: list[Generated]) -> None:
    copies = {row.name: row.copies for row in ROWS}
    counts: Counter[str] = Counter()
    for i, network in enumerate(n for n in profile if n.form == "large"):
        counts.update(network.rows)
        dealt = counts.total() / sum(copies.values())
        if i % 10 == 9:
            assert all(int(dealt) * n <= counts[name] <= -int(-dealt // 1) * n for name, n in copies.items())


def test_files_are_what_the_exporter_writes(networks: list[Generated], files: dict[str, bytes]) -> None:
    operators = {n.key for n in networks if n.form == "operators"}
    for key, data in files.items():
        if key in operators:
            continue
        onnx.checker.check_model(data, full_check=True)
        model = onnx.load_model_from_string(data)
        assert (model.ir_version, model.opset_import[0].version) == (8, 17)
        assert len(model.graph.input) == len(model.graph.output) == 1
    assert max(map(len, files.values())) < 62e6


def test_shapes_are_those_that_onnx_infers(files: dict[str, bytes]) -> None:
    # A shape that the builder had wrong would contradict the graph's declared output in strict mode.
    for data in files.values():
        shape_inference.infer_shapes(
            onnx.load_model_from_string(data), strict_mode=True, data_prop=True, check_type=True
        )


def test_macs_are_those_counted_from_the_file(networks: list[Generated], files: dict[str, bytes]) -> None:
    for network in networks:
        if network.form != "operators":
            assert network.macs == counted_macs(files[network.key]), network.key


def test_outputs_are_finite_and_normal(networks: list[Generated], files: dict[str, bytes]) -> None:
    for key, data in ((n.key, files[n.key]) for n in networks if n.form != "operators"):
        largest = np.abs(output_of(data)).max()
        assert 1e-6 < largest < 1e6, key


def test_budgets_span_two_orders_of_magnitude(profile: list[Generated]) -> None:
    macs = np.array([n.macs for n in profile if n.form == "large"])
    assert macs.min() < 50e6
    assert macs.max() > 2e9
    # log-uniform: no decade is empty, the middle half is within a factor of 30
    low, high = np.quantile(macs, [0.25, 0.75])
    assert 3 < high / low < 30


def test_small_networks_are_as_small_as_searched_ones(profile: list[Generated]) -> None:
    narrow = np.array([n.macs for n in profile if n.form == "narrow"])
    assert np.quantile(narrow, 0.25) < 1e6  # 0.02 to 0.05 ms on a server CPU
    assert {"vectors", "series", "words", "shrunk", "operators"} < {n.form for n in profile}


def test_kinds_by_constant_operands_are_sampled_often_enough(profile: list[Generated]) -> None:
    operators = [n.onnx() for n in profile if n.form == "operators"]
    kinds = Counter(f.kind for data in operators for f in features_of(extended_kernels(data)))
    # A kind needs 8 for a roofline of its own; a profile measures about four times as many networks.
    assert min(kinds[kind] for kind in ("Pow", "Pow 2, 3", "Slice by element")) >= 2


@pytest.mark.slow
def test_every_operator_runs_and_its_shape_is_the_one_that_was_said() -> None:
    for name, row in OPERATORS.items():
        rng, g = Random(name), GraphBuilder()
        x = Value(
            "x", {0: (), 1: (9,), 2: (4, 9), 3: (2, 4, 9), 4: (1, 8, 6, 5)}.get(row.ranks[0], (1, 2, 4, 3, 2))
        )
        y = row.build(g, g.node("Sigmoid", [x], x.shape), rng)
        session = session_of(g.onnx_bytes([x], [y], typed=False))
        fed = np.asarray(np.random.default_rng(0).standard_normal(x.shape), np.float32)
        assert session.run(None, {"x": fed})[0].shape == tuple(y.shape), name


@pytest.mark.slow
def test_torchvisions_kernels_are_all_among_the_generated(files: dict[str, bytes], tmp_path: Path) -> None:
    """Optimised graphs of small variants of torchvision's families hold no kind that 30 networks lack."""
    known = set().union(*(kinds(n.onnx(), tmp_path) for n in generate(30, SEED)[10:]))
    known |= set().union(*(kinds(data, tmp_path) for data in files.values()))
    for name, data in exported_torchvision():
        assert kinds(data, tmp_path) <= known, name


def exported_torchvision() -> Iterable[tuple[str, bytes]]:
    import torchvision.models as tv

    from hwnas.exporting.export import onnx_bytes

    for name in ("mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"):
        yield name, onnx_bytes(tv.get_model(name, weights=None), (1, 3, 64, 64))
    swin = tv.SwinTransformer([4, 4], 32, [2, 2], [2, 4], [7, 7], num_classes=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the tracer says about its branches on shapes
        data = onnx_bytes(swin, (1, 3, 56, 56))
    yield "swin", data
    dense = tv.DenseNet(16, (2, 2), 32, num_classes=10)
    yield "densenet", onnx_bytes(dense, (1, 3, 64, 64))


def session_of(data: bytes, optimised: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimised:
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def output_of(data: bytes) -> np.ndarray:
    session = session_of(data)
    wanted = session.get_inputs()[0]
    image = np.random.default_rng(0).standard_normal(wanted.shape, dtype=np.float32)
    return np.asarray(session.run(None, {wanted.name: image})[0])


def kinds(data: bytes, folder: Path) -> set[tuple[str, str, str]]:
    """Domain, operator and, for convolutions, dense, grouped or depthwise, after optimisation."""
    path = folder / "optimised.onnx"
    session_of(data, path)
    graph = onnx.load(path).graph
    shapes = {w.name: w.dims for w in graph.initializer}
    found = set()
    for node in graph.node:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        width = shapes[node.input[1]][1] if groups > 1 and node.input[1] in shapes else 0
        found.add(
            (node.domain, node.op_type, "" if groups == 1 else "depthwise" if width == 1 else "grouped")
        )
    return found


def counted_macs(data: bytes) -> int:
    """By the operators' definitions, from the shapes that onnx infers."""
    graph = shape_inference.infer_shapes(onnx.load_model_from_string(data), data_prop=True).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.value_info, *graph.input, *graph.output)
    } | {w.name: list(w.dims) for w in graph.initializer}
    macs = 0
    for node in graph.node:
        first, second, out = (shapes.get(n, []) for n in (node.input[0], node.input[-1], node.output[0]))
        if node.op_type == "Conv":
            macs += prod(out) * prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            macs += prod(first) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            macs += prod(out) * first[-1]
        elif node.op_type == "Einsum":  # bhid,bhjd->bhij and bhij,bhjd->bhid
            macs += prod(first) * (second[2] if out[3] == second[2] else second[3])
    return macs
