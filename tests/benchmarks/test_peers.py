"""The peers of the latency predictor, on networks of a few kernels that can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers import (
    isolated_models,
    isolated_operators,
    macs_line,
    meter_samples,
    nearest_neighbour,
    nn_meter,
    one_operator,
)
from benchmarks.peers.common import Peer, UntimedNetwork, calibrated
from benchmarks.peers.meter_kernels import Attributes, attributes
from lut.devices.reference_networks import EMPTY_KEY, empty_onnx
from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.labels import Labelled
from profilers.kernels import ABSENT
from targets import load_target
from tests.support.kernels import activation, kernel, weight


def conv(c_in, c_out, hw, k=1, domain="", **attributes):
    found = {"group": 1, "strides": [1, 1], "pads": [k // 2] * 4, "kernel_shape": [k, k], **attributes}
    given = [activation(1, c_in, hw, hw), weight(c_out, c_in // found["group"], k, k), weight(c_out)]
    return kernel("Conv", given, [activation(1, c_out, hw, hw)], domain=domain, **found)


def relu(c, hw):
    return kernel("Relu", [activation(1, c, hw, hw)], [activation(1, c, hw, hw)])


def network(kernels, kernel_ms, latency_ms=1.0):
    return Labelled("n", kernels, features_of(kernels), np.array(kernel_ms), latency_ms, 0.0, 4)


def test_macs_line() -> None:
    # A 1x1 convolution of 8 x 8 pixels has 64 * c_in * c_out MACs; the line is 0.5 ms + 1 ms per million.
    nets = [network([conv(c, c, 8)], [1.0], 0.5 + 64e-6 * c * c) for c in (16, 32, 64, 128)]
    peer = macs_line.fit(nets[:3])
    assert peer(nets[3]) == pytest.approx(0.5 + 64e-6 * 128**2)
    assert peer.unknown(nets[3]) == 0


def test_nearest_neighbour_scales_by_macs_and_prices_unknown_kinds_by_bytes() -> None:
    table = [network([conv(16, 16, 8), conv(64, 64, 8), relu(4, 8)], [1.0, 10.0, 2.048])]
    peer = nearest_neighbour.fit(table)
    assert peer(network([conv(16, 32, 8)], [9.9])) == pytest.approx(2.0)
    assert peer(network([conv(64, 48, 8)], [9.9])) == pytest.approx(7.5)
    # Relu of 4 x 8 x 8 floats moves 2048 bytes in 2.048 ms: 1 us per byte; the same kind, by bytes.
    assert peer(network([relu(8, 8)], [9.9])) == pytest.approx(4.096)
    tanh = network([kernel("Tanh", [activation(1, 10)], [activation(1, 10)])], [9.9])
    assert peer(tanh) == pytest.approx(0.080)
    assert peer.unknown(tanh) == 1


def test_the_line_behind_a_peer_is_found() -> None:
    def measured_ms(network: UntimedNetwork) -> tuple[float, int]:
        assert isinstance(network, Labelled)
        return float(network.kernel_ms.sum()), 0

    peer = Peer(measured_ms)
    sums = ([1.0], [4.0], [1.0, 5.0], [2.0, 2.0, 9.0])
    nets = [network([relu(4, 4)] * len(ms), ms, 1.5 * sum(ms) + 0.25 * len(ms) + 0.125) for ms in sums]
    line = calibrated(peer, nets).line
    assert (line.slope, line.per_kernel_ms, line.intercept_ms) == pytest.approx((1.5, 0.25, 0.125))


NCHWC = "com.microsoft.nchwc"
X = activation(1, 8, 6, 6)
WRITTEN = {
    "clip": conv(
        8, 16, 6, 3, domain=NCHWC, activation="Clip", activation_params=[0.0, 6.0], auto_pad="NOTSET"
    ),
    "depthwise": conv(8, 8, 6, 3, domain=NCHWC, group=8, activation="HardSwish"),
    "leaky": kernel(
        "FusedConv",
        conv(8, 4, 6).inputs,
        [activation(1, 4, 6, 6)],
        activation="LeakyRelu",
        activation_params=[0.1],
        group=1,
    ),
    "gemm": kernel(
        "FusedGemm",
        [activation(2, 5), weight(7, 5), weight(7)],
        [activation(2, 7)],
        domain="com.microsoft",
        activation="Relu",
        transB=1,
    ),
    "matmul": kernel(
        "FusedMatMul",
        [activation(2, 3, 5), activation(2, 4, 5)],
        [activation(2, 3, 4)],
        domain="com.microsoft",
        transA=0,
        transB=1,
    ),
    "gelu": kernel("Gelu", [X], [X], domain="com.microsoft"),
    "silu": kernel("QuickGelu", [X], [X], domain="com.microsoft", alpha=1.0),
    "upsample": kernel(
        "Upsample",
        [X],
        [activation(1, 8, 12, 12)],
        domain=NCHWC,
        scales=[1, 1, 2, 2],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
    ),
    "pool": kernel(
        "MaxPool", [X], [activation(1, 8, 3, 3)], domain=NCHWC, kernel_shape=[2, 2], strides=[2, 2]
    ),
    "slice": kernel("Slice", [X, *[weight(1, element_type="int64")] * 4], [activation(1, 4, 6, 6)]),
    "split": kernel(
        "Split",
        [X, weight(2, element_type="int64")],
        [activation(1, 3, 6, 6), activation(1, 5, 6, 6)],
        axis=1,
    ),
    "pad": kernel(
        "Pad", [X, weight(8, element_type="int64"), weight()], [activation(1, 8, 6, 7)], mode="constant"
    ),
    "sum": kernel(
        "ReduceSum",
        [activation(1, 2, 2, 4), weight(1, element_type="int64")],
        [activation(1, 2, 4)],
        keepdims=0,
    ),
    "mean": kernel("ReduceMean", [X], [activation(1, 8, 1, 1)], axes=[2, 3], keepdims=1),
    "resize": kernel(
        "Resize", [X, ABSENT, ABSENT, weight(4, element_type="int64")], [activation(1, 8, 9, 9)]
    ),
    "gather": kernel(
        "Gather", [activation(1, 6, 4), weight(2, element_type="int64")], [activation(1, 2, 4)], axis=1
    ),
    "expand": kernel("Expand", [activation(1, 8, 1), weight(3, element_type="int64")], [activation(1, 8, 5)]),
    "clip alone": kernel("Clip", [X, weight(), ABSENT], [X]),
    "add": kernel("Add", [X, weight(8, 1, 1)], [X]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_operators_alone_have_the_shapes_of_the_kernel(name) -> None:
    import onnxruntime

    from profilers.inputs import make_feeds

    (one,) = one_operator.operators(WRITTEN[name])
    session = onnxruntime.InferenceSession(one_operator.onnx_bytes(one), providers=["CPUExecutionProvider"])
    results = session.run(None, make_feeds(name, session, 0))
    assert [r.shape for r in results] == [argument.shape for argument in one.outputs]
    assert all(np.isfinite(r).all() for r in results)


def test_what_is_fused_or_moved_by_the_runtime_is_undone() -> None:
    summed = conv(8, 8, 6, 3, domain=NCHWC)
    summed = replace(summed, inputs=(*summed.inputs, activation(1, 8, 6, 6)))
    assert [one.op for one in one_operator.operators(summed)] == ["Conv", "Add"]
    assert one_operator.operators(kernel("ReorderInput", [X], [X], domain=NCHWC)) == []
    assert (
        one_operator.operators(kernel("Reshape", [X, weight(2, element_type="int64")], [activation(1, 288)]))
        == []
    )
    skip = kernel(
        "SkipLayerNormalization", [activation(1, 3, 4)] * 2 + [weight(4)] * 2, [activation(1, 3, 4)]
    )
    assert [one.op for one in one_operator.operators(skip)] == ["Add", "LayerNormalization"]


def test_operators_of_which_the_source_alone_knows_the_numbers_have_no_file() -> None:
    assert one_operator.onnx_bytes(kernel("Where", [activation(4, element_type="bool"), X, X], [X])) is None


def test_isolated_table_sums_its_operators_and_counts_what_it_lacks() -> None:
    nets = [
        network(
            [conv(8, 8, 4), relu(8, 4), conv(8, 8, 4), kernel("ReorderOutput", [X], [X], domain=NCHWC)],
            [1.0] * 4,
        )
    ]
    files = isolated_operators.models(nets)
    assert [key.partition("-")[0] for key in files] == ["Conv", "Relu"]
    conv_key, relu_key = files
    assert isolated_operators.fit({conv_key: 2.0, relu_key: 0.5})(nets[0]) == 4.5
    partial = isolated_operators.fit({conv_key: 2.0})
    assert (partial(nets[0]), partial.unknown(nets[0])) == (4.0, 1)


def test_times_alone_are_less_the_empty_run_and_end_with_the_time(monkeypatch) -> None:
    asked = []

    def run_rows(target, models, timing, log):
        asked.append(sorted(models))
        return [{"key": key, "p20_ms": 0.25 if key == EMPTY_KEY else 1.0} for key in models]

    monkeypatch.setattr(isolated_models, "run_rows", run_rows)
    monkeypatch.setattr(isolated_models, "BATCH", 3)
    monkeypatch.setattr(isolated_models.time, "monotonic", iter([0.0, 4.0, 4.0, 11.0]).__next__)
    models = {f"k{i}": empty_onnx for i in range(7)} | {"k1": lambda: None, "k2": lambda: b"no model"}
    found = isolated_models.isolated_ms(load_target("host"), models, 10.0, lambda text: None)
    assert found == {"k0": 0.75, "k3": 0.75, "k4": 0.75, "k5": 0.75}
    assert asked == [[EMPTY_KEY, "k0"], [EMPTY_KEY, "k3", "k4", "k5"]]


def test_features_of_the_reference_tool() -> None:
    # params = COUT * (K * K * CIN + 1) = 3 * 19 = 57; FLOPs = 2 * (4 / 2) ** 2 * 57 = 456.
    assert Attributes("conv", 4, (2,), 3, 3, 2).features == (4, 2, 3, 3, 2, 456 / 2e6, 57 / 1e6)
    # Depthwise: params = 8 * 10 = 80; FLOPs = 2 * 16 * 80.
    assert Attributes("dwconv", 4, (8,), 8, 3, 1).features == (4, 8, 8, 3, 1, 2560 / 2e6, 80 / 1e6)
    assert Attributes("concat", 7, (3, 4)).features == (7, 3, 4, 0, 0)
    assert Attributes("add", 7, (3,)).features == (7, 3, 3)


DRAWN = [
    Attributes("conv", 8, (5,), 7, 3, 2),
    Attributes("dwconv", 8, (6,), 6, 3, 1),
    Attributes("fc", 1, (10,), 4),
    Attributes("maxpool", 8, (3,), 3, 2, 2),
    Attributes("avgpool", 8, (3,), 3, 3, 1),
    *(Attributes(kind, 8, (4,)) for kind in ("gap", "relu", "hswish", "bn", "add", "split")),
    Attributes("concat", 8, (3, 5)),
]


@pytest.mark.parametrize("a", DRAWN, ids=lambda a: a.kind)
def test_samples_are_kernels_that_run_and_read_as_what_was_drawn(a) -> None:
    import onnxruntime

    one = meter_samples.as_kernel(a)
    assert attributes(one) == a
    onnxruntime.InferenceSession(one_operator.onnx_bytes(one), providers=["CPUExecutionProvider"])


def test_the_sampler_keeps_to_the_zoo_in_sizes_but_not_in_channels() -> None:
    zoo = meter_samples.zoo_of(
        [network([conv(16 * i, 16, 8 * i, 3) for i in (1, 2, 4)] + [relu(8, 8)], [1.0] * 4)]
    )
    drawn = meter_samples.initial(zoo, 130, np.random.default_rng(0))
    convs = [a for a in drawn if a.kind == "conv"]
    # 10,000 to 3,000 of its configuration, of 130: 100 to 30.
    assert (len(convs), len(drawn)) == (100, 130)
    assert {(a.hw, a.kernel, a.stride) for a in convs} <= {(8, 3, 1), (16, 3, 1), (32, 3, 1)}
    assert all(16 <= a.c_in[0] <= 64 for a in convs)
    # Bins of 1.2 around 16, 32 and 64 hold the multiple of 16 with 42, 75 and 42 %: 53 of 100.
    assert 35 <= sum(a.c_in[0] % 16 == 0 for a in convs) <= 70


def test_neighbours_have_half_to_a_fifth_more_channels() -> None:
    found = meter_samples.around([Attributes("conv", 8, (100,), 200, 3, 2)], np.random.default_rng(0))
    assert len(found) == 20
    assert all((a.hw, a.kernel, a.stride) == (8, 3, 2) for a in found)
    assert all(50 <= a.c_in[0] < 120 and 100 <= a.c_out < 240 for a in found)


@pytest.mark.slow
def test_unknown_kernels_add_zero_as_in_the_reference_tool(monkeypatch) -> None:
    monkeypatch.setattr(nn_meter, "FORESTS", dict.fromkeys(nn_meter.FORESTS, (5, 3, 2)))
    gelu = kernel("Gelu", [X], [X], domain="com.microsoft")
    nets = [network([conv(8, c, 4), relu(c, 4), gelu], [2.0, 0.5, 9.0]) for c in (8, 16, 24)]
    peer = nn_meter.fit(nets)
    assert (peer(nets[0]), peer.unknown(nets[0])) == (2.5, 1)


def test_bad_predictions_are_those_more_than_a_tenth_off(monkeypatch) -> None:
    monkeypatch.setattr(nn_meter, "FORESTS", dict.fromkeys(nn_meter.FORESTS, (5, 3, 2)))
    steady = [(Attributes("relu", 8, (c,)), 1.0) for c in range(1, 21)]
    assert nn_meter.badly_predicted(steady, np.random.default_rng(0)) == []
    # Times of nine and one by turns: no leaf of the neighbours' is within a tenth.
    wild = [(a, 9.0 if i % 2 else 1.0) for i, (a, _) in enumerate(steady)]
    bad = nn_meter.badly_predicted(wild, np.random.default_rng(0))
    assert 1 <= len(bad) <= 4
    assert set(bad) <= {a for a, _ in steady}
