"""Kernels as types: through JSON and back, and how large their arguments are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from profilers.kernels import ABSENT, Argument, Kernel, row_kernels
from targets.errors import DamagedFileError

# A line as earlier versions wrote it, keys sorted.
ROW = (
    '{"attributes": {"alpha": 0.5, "kernel_shape": [3, 3]}, "domain": "com.microsoft.nchwc", "inputs": '
    '[["activation", "float", [1, 3, 8, 8]], ["weight", "int8", [16, 3, 3, 3]], ["none", "", []]], "name": '
    '"conv", "op": "Conv", "outputs": [["activation", "float", [1, 16, 8, 8]]], "parameter_bytes": 1728, '
    '"provider": "CPUExecutionProvider", "reads": ["x", "w", ""], "results": ["y"], "writes": ["y"]}'
)


def test_a_stored_kernel_is_written_as_it_was_read() -> None:
    kernel = Kernel.from_json(json.loads(ROW))
    assert json.dumps(kernel.to_json(), sort_keys=True) == ROW
    assert kernel.inputs[1] == Argument("weight", "int8", (16, 3, 3, 3))
    assert kernel.inputs[2] == ABSENT


def test_bytes_of_arguments_by_hand() -> None:
    kernel = Kernel.from_json(json.loads(ROW))
    assert [argument.size_bytes for argument in kernel.inputs] == [3 * 64 * 4, 16 * 27, 0]
    assert Argument("weight", "int64", ()).size_bytes == 8


def test_rows_of_earlier_versions_have_no_names_of_tensors() -> None:
    names = ("reads", "writes", "results", "parameter_bytes")
    values = {name: value for name, value in json.loads(ROW).items() if name not in names}
    assert Kernel.from_json(values).reads == ()


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": [["weight", "float"]]},
        {"outputs": 3},
        {"attributes": None},
        {"inputs": [["a", "b", ["c"]]]},
        {"inputs": [["a", "float", [-1]]]},
        {"outputs": [["a", "float", [1 << 50]]]},
        {"parameter_bytes": float("inf")},
    ],
)
def test_what_is_no_kernel_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedFileError, match="profile the network again"):
        row_kernels({"kernels": [{**json.loads(ROW), **change}]})
