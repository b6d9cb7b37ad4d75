"""Work of operators as the runtime runs them, against torch's counter of floating-point operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from lut.predictor.asked_kernels import KernelProcess
from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.macs import kernel_macs
from targets import load_target


@pytest.fixture(scope="module")
def macs() -> Iterator[Callable[..., int | None]]:
    """Of a network of one operator, by the shapes of its inputs."""
    with KernelProcess() as process:

        def count(op: str, *shapes: tuple[int, ...], domain: str = "", **attributes: Any) -> int | None:
            names = [f"i{n}" for n in range(len(shapes))]
            inputs = [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
                for n, s in zip(names, shapes, strict=True)
            ]
            node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
            output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
            opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
            graph = helper.make_graph([node], "g", inputs, [output])
            model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
            kernels = process.kernels(model.SerializeToString(), load_target("host"), op)
            counts = [
                kernel_macs(kernel, f.macs) for kernel, f in zip(kernels, features_of(kernels), strict=True)
            ]
            return None if None in counts else sum(n for n in counts if n is not None)

        yield count


def by_torch(function: Callable[..., torch.Tensor], *shapes: tuple[int, ...], **options: Any) -> int:
    """Half of the operations that torch counts: a multiplication and an addition are one."""
    with FlopCounterMode(display=False) as counter:
        function(*(torch.zeros(shape) for shape in shapes), **options)
    return counter.get_total_flops() // 2


CONVOLUTIONS = [
    ("Conv", torch.conv1d, ((1, 4, 50), (6, 4, 3)), {}),
    ("Conv", torch.conv2d, ((2, 4, 12, 10), (6, 2, 3, 3)), {"groups": 2}),
    ("Conv", torch.conv3d, ((1, 4, 6, 8, 10), (6, 4, 3, 3, 3)), {}),
    ("Conv", torch.conv3d, ((1, 4, 6, 8, 10), (8, 1, 3, 3, 3)), {"groups": 4}),
    ("ConvTranspose", torch.conv_transpose2d, ((1, 4, 6, 5), (4, 3, 2, 2)), {}),
    ("ConvTranspose", torch.conv_transpose3d, ((1, 4, 6, 5, 4), (4, 3, 2, 2, 2)), {}),
]


@pytest.mark.parametrize(("op", "function", "shapes", "options"), CONVOLUTIONS)
def test_convolutions_of_any_rank_with_weights_as_inputs(macs, op, function, shapes, options) -> None:
    attributes = {"group": options["groups"]} if options else {}
    assert macs(op, *shapes, **attributes) == by_torch(function, *shapes, **options)


PRODUCTS = [
    ((5, 7), (7, 3)),
    ((5, 7), (7,)),
    ((7,), (7, 3)),
    ((7,), (7,)),
    ((2, 5, 7), (7,)),
    ((4, 1, 5, 7), (3, 7, 2)),
]


@pytest.mark.parametrize(("a", "b"), PRODUCTS)
def test_products_of_matrices_and_vectors(macs, a, b) -> None:
    outputs = np.matmul(np.zeros(a), np.zeros(b)).size
    assert macs("MatMul", a, b) == outputs * 7


EINSUMS = [
    ("ij,jk->ik", ((5, 7), (7, 3))),
    ("bij,bjk->bik", ((2, 5, 7), (2, 7, 3))),
    ("bhid,bhjd->bhij", ((2, 3, 5, 7), (2, 3, 4, 7))),
    ("...ij,...jk", ((2, 5, 7), (2, 7, 3))),
]


@pytest.mark.parametrize(("equation", "shapes"), EINSUMS)
def test_contractions(macs, equation, shapes) -> None:
    assert macs("Einsum", *shapes, equation=equation) == by_torch(
        lambda *operands: torch.einsum(equation, *operands), *shapes
    )


def test_contractions_of_one_and_of_many_operands(macs) -> None:
    assert macs("Einsum", (5, 7), equation="ij->ji") == 0
    assert macs("Einsum", (5, 7), (5, 7), equation="ij,ij->ij") == 0
    assert macs("Einsum", (5, 7), (7, 3), (3, 2), equation="ij,jk,kl->il") is None


def test_attention(macs) -> None:
    q, k, v = (1, 4, 10, 8), (1, 4, 12, 8), (1, 4, 12, 6)
    expected = by_torch(lambda q, k, v: (q @ k.mT) @ v, q, k, v)
    assert macs("Attention", q, k, v) == expected
    three = ((1, 10, 32), (1, 12, 32), (1, 12, 32))
    heads = ((1, 4, 10, 8), (1, 4, 12, 8), (1, 4, 12, 8))
    assert macs("MultiHeadAttention", *three, domain="com.microsoft", num_heads=4) == by_torch(
        lambda q, k, v: (q @ k.mT) @ v, *heads
    )
