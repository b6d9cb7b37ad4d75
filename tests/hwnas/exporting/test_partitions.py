"""How providers cut networks up, by the runtime's checker; and Reshape for Flatten, with the same answers."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from hwnas.core.choice import NONE, Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.partitions import operations_by_prefix, partitions_of
from hwnas.exporting.reshape import without_flatten
from hwnas.spaces import load_space


def by_provider(model: bytes) -> dict[str, Any]:
    return {cut.provider: cut for cut in partitions_of(model)}


def exported_by_torch(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """As torch itself writes it, with Flatten."""
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(shape),), buffer, dynamo=False, opset_version=17, input_names=["image"]
        )
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "scale"), [("mobile", {}), ("proxyless", {}), ("darts", {"cells": 3, "channels": 8})]
)
def test_coreml_and_qnn_run_every_network_in_one_part(space: str, scale: dict[str, Any]) -> None:
    known = load_space(space, image_size=32, in_channels=3, n_classes=10, **scale)
    for arch in archs_with_every_option(known):
        cuts = by_provider(onnx_bytes(known.build(arch), (1, 3, 32, 32)))
        assert cuts["coreml mlprogram"].whole and cuts["qnn"].whole
        assert cuts["coreml mlprogram"].fallen_out == {}


def archs_with_every_option(space: NetworkSpace) -> list[Arch]:
    """Architectures in which every operation stands somewhere, each choice at another one than the last."""
    missing = {option for choice in space.choices for option in choice.options} - {NONE}
    archs: list[Arch] = []
    while missing:
        arch = []
        for choice in space.choices:
            there = [option for option in choice.options if option != NONE]
            option = next((option for option in there if option in missing), there[0])
            arch.append(choice.options.index(option))
            missing.discard(option)
        archs.append(tuple(arch))
    return archs


def test_an_operator_that_a_provider_lacks_cuts_the_network_and_is_named() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)
    )
    cuts = by_provider(onnx_bytes(module, (1, 3, 32, 32)))
    # Hard-swish is split into HardSigmoid and Mul: Conv | HardSigmoid | Mul Conv Relu Conv
    old = cuts["coreml neuralnetwork"]
    assert (old.partitions, old.nodes, old.supported_nodes) == (2, 6, 5)
    assert list(old.fallen_out) == ["HardSigmoid"] and not old.whole
    # XNNPACK puts a Relu into the convolution before it, and has neither HardSigmoid nor Mul.
    xnnpack = cuts["xnnpack"]
    assert (xnnpack.partitions, xnnpack.supported_nodes) == (2, 4)
    assert sorted(xnnpack.fallen_out) == ["HardSigmoid", "Mul"]


def test_the_operations_of_the_space_that_make_the_cuts_are_named() -> None:
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    arch = space.from_string("16:mb3e3/16:mb3e6-hs:mb3e3/32:mb3e3:skip/32:mb3e3:skip/40:mb3e3:skip")
    model = onnx_bytes(space.build(arch), (1, 3, 32, 32))
    known = operations_by_prefix({"space": space.spec(), "arch": space.to_string(arch)})
    cuts = {cut.provider: cut for cut in partitions_of(model, known)}
    # Stem and head have a hard-swish of their own, `mb3e6-hs` has two; the runtime splits each.
    old = cuts["coreml neuralnetwork"]
    assert old.made_by == {"HardSigmoid": ["head", "mb3e6-hs", "stem"]}
    assert old.lost == "HardSigmoid (4, of head, mb3e6-hs, stem)"
    assert cuts["coreml mlprogram"].made_by == {} and cuts["coreml mlprogram"].lost == ""
    assert operations_by_prefix({"model": "torchvision:resnet18", "n_classes": 2}) == {}


def test_without_flatten_the_answers_are_the_same_and_coreml_has_one_part() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    before = exported_by_torch(module, (1, 3, 32, 32))
    after = without_flatten(before)
    assert [n.op_type for n in onnx.load_model_from_string(before).graph.node].count("Flatten") == 1
    assert "Flatten" not in [n.op_type for n in onnx.load_model_from_string(after).graph.node]
    onnx.checker.check_model(after, full_check=True)
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    answers = [
        ort.InferenceSession(m, providers=["CPUExecutionProvider"]).run(None, {"image": x})[0]
        for m in (before, after)
    ]
    assert np.array_equal(*answers)
    assert not by_provider(before)["coreml mlprogram"].whole and by_provider(after)["coreml mlprogram"].whole
    ours = onnx.load_model_from_string(onnx_bytes(module, (1, 3, 32, 32)))
    assert "Flatten" not in [n.op_type for n in ours.graph.node]


def test_a_network_without_flatten_or_of_open_batch_stays_as_it_is() -> None:
    plain = onnx_bytes(nn.Conv2d(3, 4, 3), (1, 3, 8, 8))
    assert without_flatten(plain) is plain
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    model = onnx.load_model_from_string(exported_by_torch(module, (1, 3, 2, 2)))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    ops = [
        n.op_type for n in onnx.load_model_from_string(without_flatten(model.SerializeToString())).graph.node
    ]
    assert ops[0] == "Flatten"
