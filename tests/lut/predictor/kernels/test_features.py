from __future__ import annotations

import math
from typing import Any

import pytest

from lut.predictor.kernels.features import NAMES, features_of


def one(description):
    (features,) = features_of([description])
    return features


def value(kernel, name: str) -> float:
    return dict(zip(NAMES[kernel.family], kernel.values, strict=True))[name]


def test_a_convolution_counts_its_work_by_hand(make_conv) -> None:
    kernel = one(make_conv(8, 16, 10, 3))
    assert kernel.macs == 10 * 10 * 16 * 8 * 9
    assert (kernel.read_bytes, kernel.write_bytes) == (4 * 8 * 100, 4 * 16 * 100)
    assert kernel.weight_bytes == 4 * (16 * 8 * 9 + 16)
    assert (kernel.kind, kernel.family) == ("plain Conv 3x3", "conv")
    assert value(kernel, "c_out") == 16


def test_depthwise_grouped_and_stem_are_kinds_of_their_own(make) -> None:
    def conv(groups: int, c_in: int) -> str:
        return one(
            make("Conv", [[1, c_in, 8, 8]], [1, 16, 8, 8], weights=[[16, c_in // groups, 3, 3]], group=groups)
        ).kind

    assert conv(16, 16).endswith("depthwise 3x3")
    assert conv(4, 16).endswith("grouped")
    assert conv(1, 3).endswith("stem")


def test_depthwise_work_has_one_input_channel_per_output(make) -> None:
    kernel = one(
        make("Conv", [[2, 16, 8, 8]], [2, 16, 4, 4], weights=[[16, 1, 5, 5]], group=16, strides=[2, 2])
    )
    assert kernel.macs == 2 * 16 * 4 * 4 * 25


def test_channels_last_and_int8_are_seen(make) -> None:
    form: dict[str, Any] = {"weights": [[16, 4, 1, 1]], "group": 1}
    assert one(make("NhwcFusedConv", [[1, 8, 8, 4]], [1, 8, 8, 16], **form)).macs == 64 * 16 * 4
    quantised = make("NhwcFusedConv", [[1, 8, 8, 4]], [1, 8, 8, 16], element_type="uint8", **form)
    assert one(quantised).kind.startswith("int8 ")


@pytest.mark.parametrize(
    ("a", "b", "weight", "macs", "kind"),
    [
        ([1, 64], [64, 10], True, 640, "matmul vector"),
        ([49, 64], [64, 10], True, 49 * 640, "matmul weights"),
        ([2, 3, 49, 32], [2, 3, 32, 49], False, 6 * 49 * 49 * 32, "matmul batched"),
    ],
)
def test_matrix_products(make, a, b, weight, macs, kind) -> None:
    output = [*a[:-1], b[-1]]
    description = make("MatMul", [a] if weight else [a, b], output, weights=[b] if weight else [])
    kernel = one(description)
    assert (kernel.macs, kernel.kind) == (macs, kind)


@pytest.mark.parametrize(
    ("op", "inputs", "output", "attributes", "units"),
    [
        ("Transpose", [[2, 3, 4, 5]], [2, 4, 3, 5], {"perm": [0, 2, 1, 3]}, 24),
        ("Transpose", [[2, 3, 4]], [4, 3, 2], {"perm": [2, 1, 0]}, 24),
        ("Transpose", [[2, 3, 4]], [4, 3, 2], {}, 24),
        ("Relu", [[2, 3, 4]], [2, 3, 4], {}, 1),
        ("Softmax", [[2, 3, 7]], [2, 3, 7], {"axis": -1}, 6),
        ("Mul", [[1, 8, 5, 5], [1, 8, 1, 1]], [1, 8, 5, 5], {}, 8),
        ("Mul", [[1, 4, 4, 16], [16]], [1, 4, 4, 16], {}, 16),
        ("Add", [[1, 8, 5, 5], [1, 8, 5, 5]], [1, 8, 5, 5], {}, 1),
        ("Expand", [[4, 6, 1]], [4, 6, 9], {}, 24),
        ("ReduceMean", [[2, 8, 5, 5]], [2, 8], {"axes": [2, 3]}, 16),
        ("ReduceMean", [[2, 5, 5, 8]], [2, 1, 1, 8], {}, 50),
        ("ReduceSum", [[1, 9, 9, 2, 32]], [1, 9, 9, 32], {}, 162),
    ],
)
def test_units_are_the_stretches_of_memory_that_are_worked_on_as_one(
    make, op, inputs, output, attributes, units
) -> None:
    assert one(make(op, inputs, output, **attributes)).units == units


def test_a_reduction_that_leaves_the_last_axis_is_a_kind_of_its_own(make) -> None:
    assert one(make("ReduceMean", [[1, 5, 5, 8]], [1, 1, 1, 8])).kind == "ReduceMean strided"
    assert one(make("ReduceMean", [[2, 5, 5, 8]], [2, 1, 1, 8])).kind == "ReduceMean strided, batched"
    assert one(make("ReduceMean", [[2, 8, 5, 5]], [2, 8])).kind == "ReduceMean"


def test_what_only_renames_a_buffer_moves_nothing(make) -> None:
    kernel = one(make("Reshape", [[1, 8, 5, 5]], [1, 200]))
    assert kernel.terms == (1.0, 0.0, 0.0, 0.0, 0.0, kernel.units, 0.0)


def test_the_bytes_since_an_input_was_written_are_those_of_the_kernels_between(make) -> None:
    names = ({"writes": ["a"]}, {"writes": ["b"]}, {"reads": ["a"]})
    features = features_of([make("Relu", [[100]], [100], **n) for n in names])
    assert value(features[2], "log_since_written") == pytest.approx(math.log(1 + 800))
    assert value(features[0], "log_since_written") == pytest.approx(math.log(1 + 3 * 800))


def test_operations_that_nobody_has_heard_of_are_kinds_too(make) -> None:
    kernel = one(make("FrobnicateV7", [[1, 8]], [1, 8]))
    assert (kernel.kind, kernel.family) == ("FrobnicateV7", "memory")
    assert len(kernel.values) == len(NAMES["memory"])


def test_every_family_has_a_name_per_value(make, make_conv) -> None:
    for description in (make_conv(8, 8, 7, 1), make("Gemm", [[1, 8]], [1, 4], weights=[[8, 4]])):
        kernel = one(description)
        assert tuple(kernel.named) == NAMES[kernel.family]
        assert tuple(kernel.named.values()) == kernel.values


@pytest.mark.parametrize(
    ("shape", "perm", "way"),
    [
        ([1, 8, 1, 5], [0, 2, 1, 3], "copied"),
        ([1, 8, 6, 5], [0, 2, 3, 1], "of one axis"),
        ([2, 8, 6, 5], [0, 2, 1, 3], "of rows"),
        ([2, 3, 4, 5, 6], [0, 3, 2, 1, 4], "in pieces"),
        ([2, 3, 4, 5], [0, 3, 2, 1], "by element"),
        ([2, 3, 4, 5], [3, 2, 1, 0], "by element"),
    ],
)
def test_the_ways_of_a_transposition(make, shape, perm, way) -> None:
    kernel = one(make("Transpose", [shape], [shape[i] for i in perm], perm=perm))
    assert kernel.kind == f"Transpose {way}"


def test_a_transposition_without_an_order_turns_the_axes_round(make) -> None:
    told, default = (one(make("Transpose", [[2, 3, 4]], [4, 3, 2], **a)) for a in ({"perm": [2, 1, 0]}, {}))
    assert (default.kind, default.values) == (told.kind, told.values)


@pytest.mark.parametrize(
    ("op", "inputs", "axes", "output", "attributes"),
    [
        ("ReduceMean", [[1, 1, 1]], [[2]], [1, 1, 1], {}),  # the axes, as an input, are the largest
        ("ReduceSum", [[1, 1, 1, 1]], [[3]], [], {}),
        ("Softmax", [[2, 3]], [], [2, 3], {"axis": 5}),
        ("Squeeze", [[1, 3]], [], [3], {"axes": []}),
    ],
)
def test_an_axis_that_the_largest_input_lacks_is_the_last(make, op, inputs, axes, output, attributes) -> None:
    kernel = one(make(op, inputs, output, weights=axes, **attributes))
    assert value(kernel, "axis_size") == (axes or inputs)[0][-1]


def test_a_pool_visits_each_input_of_its_window(make) -> None:
    kernel = one(make("MaxPool", [[1, 4, 8, 8]], [1, 4, 4, 4], kernel_shape=[3, 3]))
    assert (kernel.executed, kernel.macs) == (4 * 4 * 4 * 9, 0)


def test_int8_operations_are_told_from_float_ones(make) -> None:
    description = make("MaxPool", [[1, 4, 8, 8]], [1, 4, 4, 4], kernel_shape=[3, 3], element_type="uint8")
    assert one(description).kind == "int8 MaxPool"


@pytest.mark.parametrize(
    ("channels", "crowding"),
    [
        (128, 5625 * 512 / 65536),  # rows 512 bytes apart: 128 places in 64 kB
        (120, 5625 * 32 / 65536),  # 480 bytes: 2,048 places
    ],
)
def test_columns_of_a_power_of_two_crowd_in_a_cache(make, channels: int, crowding: float) -> None:
    kernel = one(make("ReduceMean", [[1, 75, 75, channels]], [1, 1, 1, channels]))
    assert value(kernel, "log_crowding") == pytest.approx(math.log1p(crowding))
    assert kernel.units == (5625 * channels if crowding > 32 else 5625)
