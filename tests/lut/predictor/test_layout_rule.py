"""The rule of a target: kept as JSON, learnt from networks that the target ran, and told for other blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import onnxruntime as ort
import pytest

import profilers.session
from lut.predictor.generate import generate
from lut.predictor.layout import LayoutRule, apply_rule, extended_kernels, fidelity, learn_rule, run_kernels
from lut.predictor.models.quantise import quantised
from profilers.kernels import Kernel
from targets import Target
from targets.errors import DamagedFileError
from targets.int8_form import UINT8
from tests.support.kernels import activation, kernel, weight

HOST = Target("host", "cpu", threads=1, graph_level="all", precision="fp32", spinning=False)

OLD_AVX2 = LayoutRule(
    block_size=8,
    dense_multiple=8,
    depthwise_multiple=8,
    fuses=("Relu", "Sigmoid", "Tanh"),
    keeps=("Relu", "Sigmoid", "Tanh"),
    scales=False,
    resizes=("nearest",),
)
ARM64 = LayoutRule(block_size=4, fuses=("Relu", "Tanh"))
PLAIN = LayoutRule(blocked=False)


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    float_files = [network.onnx() for network in generate(12, 2) if network.form == "large"]
    return [*float_files, quantised(float_files[1], UINT8)]


@pytest.fixture(scope="module")
def extended(files: list[bytes]) -> list[list[Kernel]]:
    return [extended_kernels(model) for model in files]


def test_a_rule_survives_json() -> None:
    for rule in (LayoutRule(), OLD_AVX2, ARM64, PLAIN):
        assert LayoutRule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize(
    "change",
    [{"block_size": 0}, {"block_size": 8.0}, {"blocked": 1}, {"fuses": "Relu"}, {"keeps": [1]}, {"new": 1}],
)
def test_a_damaged_rule_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedFileError, match="layout rule"):
        LayoutRule.from_json({**LayoutRule().to_json(), **change})
    with pytest.raises(DamagedFileError, match="layout rule"):
        LayoutRule.from_json([])


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [OLD_AVX2, ARM64, PLAIN, LayoutRule()], ids=["avx2", "arm64", "plain", "now"]
)
def test_a_rule_is_found_again_from_what_it_makes(extended: list[list[Kernel]], rule: LayoutRule) -> None:
    pairs = [(kernels, apply_rule(kernels, rule)) for kernels in extended]
    learnt = learn_rule(pairs)
    assert fidelity((apply_rule(kernels, learnt), real) for kernels, real in pairs).share == 1
    assert (learnt.blocked, learnt.fuses_plain_sum) == (rule.blocked, rule.fuses_plain_sum)
    if rule.blocked:
        assert learnt.block_size == rule.block_size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switched_off", "field"),
    [
        ("NchwcTransformer", "blocked"),
        ("NhwcTransformer", "channels_last"),
        ("ConvAddActivationFusion", "fuses_plain_sum"),
    ],
)
def test_a_runtime_without_one_optimiser_is_another_target(
    files: list[bytes],
    extended: list[list[Kernel]],
    monkeypatch: pytest.MonkeyPatch,
    switched_off: str,
    field: str,
) -> None:
    original: Callable[[Target], ort.SessionOptions] = profilers.session.session_options

    def without(target: Target) -> ort.SessionOptions:
        options = original(target)
        options.add_session_config_entry("optimization.disable_specified_optimizers", switched_off)
        return options

    monkeypatch.setattr(profilers.session, "session_options", without)
    pairs = [(kernels, run_kernels(model, HOST)) for kernels, model in zip(extended, files, strict=True)]
    rule = learn_rule(pairs)
    assert getattr(rule, field) is False
    assert rule.fuses_sum or field == "blocked"
    assert fidelity((apply_rule(kernels, rule), real) for kernels, real in pairs[:-1]).share >= 0.99


def conv(name: str, c_in: int, c_out: int, reads: str, group: int = 1, result: bool = False) -> Kernel:
    """A convolution of one pixel over 6 x 6."""
    return kernel(
        "Conv",
        [activation(1, c_in, 6, 6), weight(c_out, c_in // group, 1, 1), weight(c_out)],
        [activation(1, c_out, 6, 6)],
        name=name,
        reads=[reads, f"{name}_w", f"{name}_b"],
        writes=[name],
        results=[name] if result else [],
        group=group,
    )


def shapes(kernels: list[Kernel]) -> list[tuple[str, list[list[int]]]]:
    return [(k.op, [list(argument.shape) for argument in (*k.inputs, *k.outputs)]) for k in kernels]


def test_blocks_of_eight_by_hand() -> None:
    # 3 channels are read as they are; 12 are padded to 16 = 2 blocks of 8; 20 channels depthwise to 24.
    network = [conv("a", 3, 12, "x"), conv("b", 12, 20, "a"), conv("c", 20, 20, "b", group=20, result=True)]
    assert shapes(apply_rule(network, LayoutRule(block_size=8))) == [
        ("Conv", [[1, 3, 6, 6], [16, 3, 1, 1], [16], [1, 16, 6, 6]]),
        ("Conv", [[1, 16, 6, 6], [24, 16, 1, 1], [24], [1, 24, 6, 6]]),
        ("Conv", [[1, 24, 6, 6], [24, 1, 1, 1], [24], [1, 24, 6, 6]]),
        ("ReorderOutput", [[1, 24, 6, 6], [1, 20, 6, 6]]),
    ]


def test_blocks_of_four_need_no_padding_of_multiples_of_four_by_hand() -> None:
    # 6 input channels are neither fewer than a block nor a multiple of 4: the second convolution stays plain.
    network = [conv("a", 12, 6, "x"), conv("b", 6, 20, "a", result=True)]
    assert shapes(apply_rule(network, LayoutRule(block_size=4))) == [
        ("ReorderInput", [[1, 12, 6, 6], [1, 12, 6, 6]]),
        ("Conv", [[1, 12, 6, 6], [8, 12, 1, 1], [8], [1, 8, 6, 6]]),
        ("ReorderOutput", [[1, 8, 6, 6], [1, 6, 6, 6]]),
        ("Conv", [[1, 6, 6, 6], [20, 6, 1, 1], [20], [1, 20, 6, 6]]),
    ]


def test_old_builds_pad_no_inputs_by_hand() -> None:
    network = [conv("a", 16, 12, "x"), conv("b", 12, 16, "a", result=True)]
    rule = dataclasses.replace(OLD_AVX2, fuses_plain_sum=False)
    assert [k.op for k in apply_rule(network, rule)] == ["ReorderInput", "Conv", "ReorderOutput", "Conv"]
