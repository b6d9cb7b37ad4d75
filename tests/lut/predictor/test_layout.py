"""The layout of tiny graphs: apply_rule makes of level `extended` what onnxruntime runs at level `all`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lut.predictor.layout import LayoutRule, apply_rule, extended_kernels, fidelity, learn_rule, run_kernels
from targets import Target
from targets.errors import DamagedFileError

HOST = Target("host", "cpu", threads=1, graph_level="all", precision="fp32", spinning=False)


class Net:
    """A graph under construction; the input is `x`."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, values: Any) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, *shape: int) -> str:
        rng = np.random.default_rng(len(self.weights))
        return self.const((rng.standard_normal(shape) / 10).astype(np.float32))

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(op, 1, *inputs, **attributes)[0]

    def ops(self, op: str, n: int, *inputs: str, **attributes: Any) -> list[str]:
        outputs = [f"t{len(self.nodes)}_{i}" for i in range(n)]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def conv(self, x: str, c_in: int, c_out: int, k: int = 1, group: int = 1, bias: bool = True) -> str:
        weights = [self.weight(c_out, c_in // group, k, k)] + ([self.weight(c_out)] if bias else [])
        return self.op("Conv", x, *weights, group=group, pads=[k // 2] * 4)

    def pool(self, x: str, op: str = "MaxPool", size: int = 2, **attributes: Any) -> str:
        return self.op(op, x, kernel_shape=[size, size], strides=[2, 2], **attributes)

    def batch_norm(self, x: str, c: int) -> str:
        variance = self.const(np.ones(c, np.float32))
        return self.op("BatchNormalization", x, *(self.weight(c) for _ in range(3)), variance)

    def squeeze(self, x: str, c: int) -> str:
        """Squeeze and excite."""
        gate = self.op("Relu", self.conv(self.op("GlobalAveragePool", x), c, 8))
        return self.op("Mul", self.op("Sigmoid", self.conv(gate, 8, c)), x)

    def model(self, outputs: Sequence[str]) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        opset = [helper.make_opsetid("", 20)]
        return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def pair(build: Callable[[Net], str | tuple[str, ...]], *shape: int) -> tuple[Any, Any]:
    net = Net(*shape)
    made = build(net)
    model = net.model([made] if isinstance(made, str) else made)
    return extended_kernels(model), run_kernels(model, HOST)


@pytest.fixture(scope="module")
def rule() -> LayoutRule:
    """Of this machine: its block and its alignment are learnt, the rest is that of current builds."""

    def chain(n: Net) -> str:
        return n.conv(n.conv(n.op("Relu", n.conv("x", 16, 20)), 20, 20, 3, group=20), 20, 36)

    return learn_rule([pair(chain, 1, 16, 8, 8), pair(lambda n: n.conv("x", 24, 40), 1, 24, 8, 8)])


def check(rule: LayoutRule, build: Callable[[Net], str | tuple[str, ...]], *shape: int) -> None:
    extended, real = pair(build, *shape)
    found = fidelity([(apply_rule(extended, rule), real)])
    assert (found.missing, found.invented) == ((), ())


@pytest.mark.parametrize(
    ("c_in", "c_out"),
    [(3, 16), (3, 24), (1, 8), (8, 16), (15, 16), (16, 3), (17, 16), (18, 16), (20, 16), (24, 24), (32, 1)],
)
def test_dense_convolutions_with_and_without_whole_blocks(rule: LayoutRule, c_in: int, c_out: int) -> None:
    check(rule, lambda n: n.conv("x", c_in, c_out, 3), 1, c_in, 8, 8)


@pytest.mark.parametrize("channels", [4, 6, 12, 16, 18, 20, 24, 32, 36])
def test_depthwise_convolutions(rule: LayoutRule, channels: int) -> None:
    check(rule, lambda n: n.conv("x", channels, channels, 3, group=channels), 1, channels, 8, 8)
    check(
        rule, lambda n: n.conv(n.conv("x", 16, channels), channels, channels, 3, group=channels), 1, 16, 8, 8
    )


@pytest.mark.parametrize(
    ("c_in", "c_out", "group"),
    [(32, 32, 2), (48, 48, 2), (32, 64, 4), (64, 64, 2), (24, 24, 3), (16, 32, 16)],
)
def test_grouped_convolutions(rule: LayoutRule, c_in: int, c_out: int, group: int) -> None:
    check(rule, lambda n: n.conv("x", c_in, c_out, 3, group=group), 1, c_in, 8, 8)


@pytest.mark.parametrize("channels", [8, 12, 16, 20, 24, 32])
@pytest.mark.parametrize(
    "op", ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization"]
)
def test_poolings_and_normalisation_of_blocks(rule: LayoutRule, op: str, channels: int) -> None:
    def after(n: Net, x: str) -> str:
        if op == "BatchNormalization":
            return n.op("Relu", n.batch_norm(n.op("Relu", x), channels))
        return n.op(op, x) if op.startswith("Global") else n.pool(x, op)

    check(rule, lambda n: after(n, n.conv("x", 16, channels)), 1, 16, 8, 8)
    check(rule, lambda n: after(n, "x"), 1, channels, 8, 8)


def test_pooling_attributes(rule: LayoutRule) -> None:
    def check_pool(op: str, **attributes: Any) -> None:
        check(rule, lambda n: n.pool("x", op, 3, **attributes), 1, 16, 8, 8)

    for op in ("MaxPool", "AveragePool"):
        check_pool(op, ceil_mode=1)
        check_pool(op, pads=[1] * 4)
    for ceil in (0, 1):
        check_pool("AveragePool", ceil_mode=ceil, count_include_pad=1)
    check(rule, lambda n: n.op("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2]), 1, 16, 8, 8)


ACTIVATIONS = [
    "Relu",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "HardSigmoid",
    "HardSwish",
    "Gelu",
    "Elu",
    "Clip",
    "Silu",
    "Mish",
]


def activation(n: Net, name: str, x: str) -> str:
    if name == "Clip":
        return n.op("Clip", x, n.const(np.float32(0)), n.const(np.float32(6)))
    return n.op("Mul", x, n.op("Sigmoid", x)) if name == "Silu" else n.op(name, x)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("channels", [16, 18])
def test_activations_after_a_convolution_a_pooling_and_a_sum(
    rule: LayoutRule, name: str, channels: int
) -> None:
    c = channels
    check(rule, lambda n: n.conv(activation(n, name, n.conv("x", c, c)), c, c), 1, c, 8, 8)
    check(rule, lambda n: n.conv(activation(n, name, n.pool("x")), c, c), 1, c, 8, 8)
    check(
        rule, lambda n: activation(n, name, n.op("Add", n.conv("x", c, c), n.conv("x", c, c, 3))), 1, c, 8, 8
    )


def test_hard_swish_of_a_convolution_with_another_reader(rule: LayoutRule) -> None:
    def build(n: Net) -> tuple[str, str]:
        x = n.conv("x", 16, 16)
        return n.op("HardSwish", x), n.conv(x, 16, 16)

    check(rule, build, 1, 16, 8, 8)


def test_a_gate_that_is_no_hard_swish(rule: LayoutRule) -> None:
    def build(n: Net) -> str:
        x = n.conv("x", 16, 16)
        return n.op("Mul", x, n.op("HardSigmoid", x, alpha=0.2))

    check(rule, build, 1, 16, 8, 8)


SUMS: dict[str, Callable[[Net, int], str | tuple[str, ...]]] = {
    "of two convolutions": lambda n, c: n.op("Add", n.conv("x", c, c), n.conv("x", c, c, 3)),
    "without bias": lambda n, c: n.op(
        "Add", n.conv("x", c, c, bias=False), n.op("MaxPool", "x", kernel_shape=[1, 1])
    ),
    "with the input": lambda n, c: n.op("Relu", n.op("Add", "x", n.conv("x", c, c))),
    "of activated convolutions": lambda n, c: n.op(
        "Add", *(n.op("Relu", n.conv("x", c, c, k)) for k in (1, 3))
    ),
    "of three": lambda n, c: n.op("Sum", *(n.conv("x", c, c, k) for k in (1, 3, 5))),
    "named Sum": lambda n, c: n.op("Sum", *(n.conv("x", c, c, k) for k in (1, 3))),
    "with a weight": lambda n, c: n.op("Add", n.conv("x", c, c), n.weight(1, c, 8, 8)),
    "difference": lambda n, c: n.op("Sub", *(n.conv("x", c, c, k) for k in (1, 3))),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("channels", [16, 18, 20])
def test_sums(rule: LayoutRule, name: str, channels: int) -> None:
    check(rule, lambda n: SUMS[name](n, channels), 1, channels, 8, 8)


@pytest.mark.parametrize("channels", [16, 18, 24])
def test_sums_that_find_no_free_convolution(rule: LayoutRule, channels: int) -> None:
    c = channels

    def skip_is_a_convolution(n: Net) -> str:
        x = n.conv("x", c, c)
        return n.op("Relu", n.op("Add", x, n.conv(x, c, c, 3)))

    def both_are_read_elsewhere(n: Net) -> tuple[str, str]:
        x = n.conv("x", c, c)
        y = n.conv(x, c, c, 3)
        return n.op("Add", x, y), n.conv(y, c, c)

    def twice_the_same(n: Net) -> str:
        x = n.conv("x", c, c)
        return n.op("Add", x, x)

    for build in (skip_is_a_convolution, both_are_read_elsewhere, twice_the_same):
        check(rule, build, 1, c, 8, 8)


@pytest.mark.parametrize("channels", [16, 20, 24])
def test_squeeze_and_excite_and_broadcast_sums(rule: LayoutRule, channels: int) -> None:
    c = channels

    def broadcast(n: Net) -> str:
        x = n.conv("x", 16, c)
        return n.conv(n.op("Add", x, n.conv(n.op("GlobalAveragePool", x), c, c)), c, 16)

    check(rule, lambda n: n.conv(n.squeeze(n.conv("x", 16, c), c), c, 16), 1, 16, 8, 8)
    check(rule, broadcast, 1, 16, 8, 8)


def test_products(rule: LayoutRule) -> None:
    def relu(n: Net) -> str:
        return n.op("Relu", n.conv("x", 16, 20))

    check(rule, lambda n: n.op("Mul", relu(n), relu(n)), 1, 16, 8, 8)
    check(rule, lambda n: n.conv(n.op("Mul", relu(n), n.weight(1, 20, 1, 1)), 20, 16), 1, 16, 8, 8)
    check(rule, lambda n: n.op("Add", n.op("Mul", relu(n), n.weight(20, 1, 1)), relu(n)), 1, 16, 8, 8)
    check(rule, lambda n: n.op("Mul", relu(n), n.const(np.float32(2))), 1, 16, 8, 8)


@pytest.mark.parametrize("parts", [(16, 32), (16, 24), (24, 24), (8, 8)])
def test_concatenation_of_whole_and_broken_blocks(rule: LayoutRule, parts: tuple[int, ...]) -> None:
    def build(n: Net, axis: int = 1) -> str:
        joined = n.op("Relu", n.op("Concat", *(n.conv("x", 16, c) for c in parts), axis=axis))
        return n.conv(joined, sum(parts), 16)

    check(rule, build, 1, 16, 8, 8)
    check(rule, lambda n: n.op("Concat", "x", n.conv("x", 16, parts[0]), axis=1), 1, 16, 8, 8)
    check(rule, lambda n: n.op("Concat", n.conv("x", 16, 16), n.conv("x", 16, 16), axis=2), 1, 16, 8, 8)


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic"},
    ],
)
@pytest.mark.parametrize("scale", [2.0, 1.5])
def test_resizing(rule: LayoutRule, attributes: dict[str, str], scale: float) -> None:
    def build(n: Net) -> str:
        return n.op(
            "Resize",
            n.conv("x", 16, 24),
            "",
            n.const(np.array([1, 1, scale, scale], np.float32)),
            **attributes,
        )

    check(rule, build, 1, 16, 8, 8)


def test_transpositions_at_both_ends(rule: LayoutRule) -> None:
    def two_readers(n: Net) -> tuple[str, str]:
        x = n.op("Transpose", "x", perm=[0, 3, 1, 2])
        return n.conv(x, 16, 16), n.pool(x)

    check(rule, lambda n: n.op("Transpose", n.conv("x", 16, 16), perm=[0, 2, 3, 1]), 1, 16, 8, 8)
    check(rule, lambda n: n.op("Transpose", n.conv("x", 16, 16), perm=[0, 3, 1, 2]), 1, 16, 8, 8)
    check(rule, lambda n: n.conv(n.op("Transpose", "x", perm=[0, 3, 1, 2]), 24, 16), 1, 8, 8, 24)
    check(rule, two_readers, 1, 8, 8, 16)


def test_what_stays_as_it_is(rule: LayoutRule) -> None:
    check(rule, lambda n: n.op("Conv", "x", n.op("Relu", "x")), 1, 16, 3, 3)
    check(rule, lambda n: n.op("Conv", "x", n.weight(16, 16, 1)), 1, 16, 8)
    check(rule, lambda n: n.op("Conv", "x", n.weight(16, 16, 1, 1, 1)), 1, 16, 4, 4, 4)
    check(rule, lambda n: n.op("ConvTranspose", n.conv("x", 16, 16), n.weight(16, 16, 2, 2)), 1, 16, 8, 8)
    check(rule, lambda n: tuple(n.ops("Split", 2, n.conv("x", 16, 32), axis=1, num_outputs=2)), 1, 16, 8, 8)
    check(rule, lambda n: n.op("Relu", "x"), 1, 16)
    check(rule, lambda n: n.op("Flatten", n.conv("x", 16, 16)), 1, 16, 8, 8)


def test_sequences_have_no_shape_and_no_layout(rule: LayoutRule) -> None:
    def build(n: Net) -> str:
        parts = n.op("SplitToSequence", n.conv("x", 16, 32), n.const(np.int64(16)), axis=1)
        return n.op("ConcatFromSequence", parts, axis=1)

    check(rule, build, 1, 16, 8, 8)


def test_results_in_blocks_and_tensors_read_in_both_layouts(rule: LayoutRule) -> None:
    def result_is_read(n: Net) -> tuple[str, str]:
        x = n.conv("x", 16, 24)
        return x, n.conv(x, 24, 16)

    def read_in_both(n: Net) -> tuple[str, ...]:
        x = n.op("Relu", "x")
        return n.conv(x, 16, 16), n.conv(x, 16, 32), x

    check(rule, result_is_read, 1, 16, 8, 8)
    check(rule, read_in_both, 4, 16, 8, 8)
    check(rule, lambda n: n.conv(n.conv("x", 16, 8), 8, 16), 1, 16, 8, 8)


def test_the_order_is_the_runtimes(rule: LayoutRule) -> None:
    def residual(n: Net) -> str:
        x = n.conv("x", 3, 16, 3)
        for _ in range(3):
            x = n.op("Relu", n.op("Add", n.conv(n.op("Relu", n.conv(x, 16, 32)), 32, 16), x))
        return n.op("Flatten", n.op("GlobalAveragePool", n.conv(x, 16, 20)))

    extended, real = pair(residual, 1, 3, 8, 8)
    emulated = apply_rule(extended, rule)
    assert [(k.op, k.outputs) for k in emulated] == [(k.op, k.outputs) for k in real]


def test_without_rules_nothing_changes_but_defaults(rule: LayoutRule) -> None:
    extended, _ = pair(lambda n: n.op("Relu", n.op("Add", n.conv("x", 16, 16), "x")), 1, 16, 8, 8)
    plain = apply_rule(extended, LayoutRule(blocked=False, fuses_plain_sum=False, channels_last=False))
    assert plain == extended


@pytest.mark.parametrize("model", [b"", b"no model", b"\x08\x08\x12\x00"])
def test_what_is_no_network_is_refused(model: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DamagedFileError, match="cannot load it"):
        extended_kernels(model, "it")
    assert capfd.readouterr().err == ""


def test_kernels_without_names_are_refused() -> None:
    extended, _ = pair(lambda n: n.conv("x", 16, 16), 1, 16, 8, 8)
    with pytest.raises(DamagedFileError, match="profile the network again"):
        apply_rule([replace(extended[0], reads=(), writes=())], LayoutRule())
