"""Work of recurrent layers and attention by hand, scalars with and without an axis, small networks."""

from __future__ import annotations

import pytest

from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.macs import other_macs
from lut.predictor.kernels.network import Overhead
from profilers.kernels import Argument, Kernel
from targets.errors import DamagedFileError


def kernel(
    op: str, inputs: list[Argument], output: tuple[int, ...], domain: str = "", **attributes: object
) -> Kernel:
    outputs = (Argument("activation", "float", output),)
    return Kernel(op, domain, op, "CPUExecutionProvider", attributes, tuple(inputs), outputs)


def activation(*shape: int) -> Argument:
    return Argument("activation", "float", shape)


def weight(*shape: int) -> Argument:
    return Argument("weight", "float", shape)


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers(op: str, gates: int) -> None:
    inputs = [activation(50, 2, 32), weight(1, gates * 64, 32), weight(1, gates * 64, 64)]
    one = kernel(op, inputs, (50, 1, 2, 64), hidden_size=64)
    assert other_macs(one) == 50 * 2 * gates * 64 * (32 + 64)
    both = kernel(op, inputs, (50, 2, 2, 64), hidden_size=64, direction="bidirectional")
    assert other_macs(both) == 2 * 50 * 2 * gates * 64 * (32 + 64)


def test_attention_is_its_three_products() -> None:
    fused = kernel(
        "Attention", [activation(1, 16, 32), weight(32, 96), weight(96)], (1, 16, 32), "com.microsoft"
    )
    assert other_macs(fused) == 16 * 32 * 96 + 16 * 16 * 32 + 16 * 16 * 32


def test_what_is_not_counted_is_not_zero() -> None:
    assert (
        other_macs(kernel("GroupQueryAttention", [activation(1, 4, 4)], (1, 4, 4), "com.microsoft")) is None
    )
    assert other_macs(kernel("Mine", [activation(4, 4)], (4, 4), "my.domain")) is None
    assert other_macs(kernel("LSTM", [activation(5, 1, 2)], (5, 1, 1, 4))) is None
    assert other_macs(kernel("Relu", [activation(4, 4)], (4, 4))) == 0


def test_a_convolution_with_a_computed_weight_is_a_convolution() -> None:
    given = kernel("Conv", [activation(1, 3, 32, 32), weight(8, 3, 3, 3)], (1, 8, 30, 30))
    computed = kernel("Conv", [activation(1, 3, 32, 32), activation(8, 3, 3, 3)], (1, 8, 30, 30))
    macs = [features_of([k])[0].macs for k in (given, computed)]
    assert macs == [30 * 30 * 8 * 27] * 2


@pytest.mark.parametrize("op", ["Add", "Mul", "Pow", "Div"])
def test_a_scalar_has_the_features_of_a_vector_of_one(op: str) -> None:
    scalar, vector = (
        features_of([kernel(op, [activation(1, 16, 160, 160), weight(*shape)], (1, 16, 160, 160))])[0]
        for shape in ((), (1,))
    )
    assert scalar.values == vector.values


def test_a_small_network_takes_half_of_its_kernels_at_least() -> None:
    overhead = Overhead(1.0, -0.003, -0.05)
    assert overhead.latency_ms(0.01, 3) == pytest.approx(0.005)
    assert overhead.latency_ms(1.0, 3) == pytest.approx(1.0 - 0.009 - 0.05)


@pytest.mark.parametrize("strides", ["x", [[2]], [1 << 70, "y"], 3])
def test_kernels_whose_attributes_fit_nothing_are_refused(strides: object) -> None:
    """A device may report anything."""
    inputs = [activation(1, 3, 8, 8), weight(4, 3, 3, 3)]
    with pytest.raises(DamagedFileError, match="do not fit its operator"):
        features_of([kernel("Conv", inputs, (1, 4, 6, 6), strides=strides)])
