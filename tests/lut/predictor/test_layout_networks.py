"""Whole networks never seen: the rule comes from generated networks, the truth from this machine."""

from __future__ import annotations

import io
import warnings

import pytest

from lut.predictor.generate import generate
from lut.predictor.layout import (
    LayoutRule,
    apply_rule,
    extended_kernels,
    fidelity,
    fidelity_table,
    learn_rule,
    run_kernels,
)
from lut.predictor.models.quantise import quantised
from targets import Target
from targets.int8_form import UINT8

pytestmark = pytest.mark.slow


HOST = Target("host", "cpu", threads=1, graph_level="all", precision="fp32", spinning=False)

NETWORKS = (
    *("efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "resnet18"),
    *("shufflenet_v2_x0_5", "squeezenet1_1"),
)
INT8 = ("mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5")


@pytest.fixture(scope="module")
def rule() -> LayoutRule:
    """Learnt from four generated networks."""
    files = [network.onnx() for network in generate(4, 1)]
    return learn_rule([(extended_kernels(model), run_kernels(model, HOST)) for model in files])


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    torch = pytest.importorskip("torch", reason="the networks are torchvision's, exported by torch")
    models = pytest.importorskip("torchvision.models", reason="the networks are torchvision's")
    found = {}
    for name in NETWORKS:
        network = models.get_model(name, weights=None).eval()
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of its own age
            torch.onnx.export(network, torch.zeros(1, 3, 64, 64), buffer, dynamo=False, opset_version=17)
        found[name] = buffer.getvalue()
    return found


def compare(files: dict[str, bytes], rule: LayoutRule) -> dict[str, float]:
    pairs = {
        name: (apply_rule(extended_kernels(data), rule), run_kernels(data, HOST))
        for name, data in files.items()
    }
    print(fidelity_table(pairs))
    return {name: fidelity([pair]).share for name, pair in pairs.items()}


def test_the_level_extended_knows_no_layout(files: dict[str, bytes]) -> None:
    for data in (files["resnet18"], quantised(files["resnet18"], UINT8)):
        kernels = extended_kernels(data)
        assert "com.microsoft.nchwc" not in {kernel.domain for kernel in kernels}
        assert not any(kernel.attributes.get("channels_last") for kernel in kernels)


def test_at_least_99_percent_of_the_kernels_of_each_network_match(
    files: dict[str, bytes], rule: LayoutRule
) -> None:
    shares = compare(files, rule)
    assert min(shares.values()) >= 0.99, shares


def test_at_least_99_percent_of_the_kernels_of_each_int8_network_match(
    files: dict[str, bytes], rule: LayoutRule
) -> None:
    shares = compare({name: quantised(files[name], UINT8) for name in INT8}, rule)
    assert min(shares.values()) >= 0.99, shares
