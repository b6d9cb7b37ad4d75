"""The content of small tensors against onnx's own reader, in every way that a file may hold them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from profilers.graph import TensorInfo, read_tensor

KINDS = [
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT32,
    TensorProto.INT64, TensorProto.UINT8, TensorProto.UINT64, TensorProto.BOOL,
]  # fmt: skip


def info(proto: TensorProto) -> TensorInfo:
    return read_tensor(memoryview(proto.SerializeToString()))[1]


@pytest.mark.parametrize("kind", KINDS, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("shape", [(), (1,), (2, 4)])
def test_numbers_are_those_that_onnx_reads(kind: int, shape: tuple[int, ...]) -> None:
    values = (np.arange(math.prod(shape)) % 3).reshape(shape).astype(helper.tensor_dtype_to_np_dtype(kind))
    raw = numpy_helper.from_array(values)
    typed = helper.make_tensor("t", kind, shape, values.ravel())
    for proto in (raw, typed) if kind != TensorProto.FLOAT16 else (raw,):
        assert info(proto).numbers == tuple(numpy_helper.to_array(proto).ravel())


def test_negative_numbers_keep_their_sign() -> None:
    assert info(helper.make_tensor("t", TensorProto.INT64, [2], [-1, 3])).numbers == (-1, 3)
    assert info(numpy_helper.from_array(np.array([-1], np.int32))).numbers == (-1,)


def test_there_are_none_where_they_are_many_not_finite_elsewhere_or_bits() -> None:
    halves = helper.make_tensor("t", TensorProto.FLOAT16, [1], [2.0])
    for proto in (
        numpy_helper.from_array(np.ones(9, np.float32)),
        numpy_helper.from_array(np.ones(0, np.float32)),
        numpy_helper.from_array(np.array([1, np.nan], np.float32)),
        TensorProto(data_type=1, dims=[1], raw_data=b"12"),
        TensorProto(data_type=1, dims=[1], raw_data=b"0000", data_location=TensorProto.EXTERNAL),
        TensorProto(data_type=8, dims=[1], string_data=[b"two"]),
        halves,
    ):
        assert info(proto).numbers == ()
