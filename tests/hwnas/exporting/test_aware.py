"""Quantisation-aware training: rounding as the quantiser rounds, and plain float weights at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hwnas.data import Data, eval_batches, file_batches, load_data
from hwnas.data.batches import EvalBatches
from hwnas.exporting.aware import aware_epochs
from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.int8 import calibration
from hwnas.exporting.onnx_score import onnx_logits, open_session
from hwnas.exporting.promise import steps_to
from hwnas.exporting.variants import Making
from hwnas.networks.mobile_blocks import Operation
from hwnas.networks.mobile_layers import MBConv, MobileHead
from hwnas.training.recipe import Recipe
from hwnas.training.rounding import Observer, RoundedWeight, rounded, score_rounded
from hwnas.training.train import logits_of, train
from lut.predictor.models.quantise import quantised
from targets import load_target
from targets.errors import UsageError
from targets.int8_form import INT8_SYMMETRIC, UINT8, UINT8_REDUCED, Int8Form


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"), limit=300)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )


@pytest.mark.parametrize("form", [UINT8, UINT8_REDUCED, INT8_SYMMETRIC])
def test_weights_are_rounded_as_the_quantiser_rounds_them(form: Int8Form) -> None:
    layer = nn.Conv2d(3, 4, 1, bias=False)
    held = onnx.load_model_from_string(quantised(onnx_bytes(layer, (1, 3, 4, 4)), form)).graph
    values = {w.name: onnx.numpy_helper.to_array(w) for w in held.initializer}
    (name,) = (n for n in values if n.endswith("_quantized") and values[n].ndim == 4)
    stem = name.removesuffix("_quantized")
    scale = values[f"{stem}_scale"].reshape(-1, 1, 1, 1)
    expected = values[name].astype(np.float32) * scale
    weight = RoundedWeight(form)(layer.weight.detach())
    np.testing.assert_allclose(weight.numpy(), expected, atol=float(scale.max()) * 0.51 / 64)


def test_an_observer_rounds_to_the_levels_of_its_form() -> None:
    observer = Observer(INT8_SYMMETRIC)
    x = torch.tensor([[-1.0, 0.5, 0.26, 2.0]])
    observer.before(nn.Identity(), (x,))
    observer.rounds = True
    (seen,) = observer.before(nn.Identity(), (x,))
    step = 4.0 / 255  # -2 to 2
    assert torch.allclose(seen / step, (seen / step).round(), atol=1e-3)
    assert float((seen - x).abs().max()) <= step * 1.01


@pytest.mark.parametrize("op", ["mb3e3", "mb5e3-hs"])
def test_a_rounded_network_errs_as_its_file_does(op: str, digits: Data) -> None:
    torch.manual_seed(1)
    block = MBConv(Operation.parse(op), 8, 8, 1, residual=True)
    module = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), block, MobileHead(8, 16, 10))
    train(module, digits, Recipe(10, 32, 0.1), 0)
    file = quantised(onnx_bytes(module, (1, 1, 16, 16)), UINT8_REDUCED, calibration(digits, 1))
    images = EvalBatches(digits, "train", 64, 256)
    ours = rounded(module, (x for x, _ in images), UINT8_REDUCED)
    batches = list(eval_batches(digits, "val", 64))
    by_file, labels = onnx_logits(open_session(file), file_batches(digits, "val", 1))
    by_torch, by_us = (logits_of(network, batches)[0] for network in (module, ours))
    # Rounding layers explains most of what 8 bits change; sums that are rounded in a file too are the rest.
    assert np.linalg.norm(by_us - by_file) < 0.5 * np.linalg.norm(by_torch - by_file)
    accuracy, *_ = score_rounded(module, digits, UINT8_REDUCED)
    assert accuracy == pytest.approx((by_file.argmax(1) == labels).mean(), abs=0.05)


@pytest.mark.slow
def test_training_moves_the_weights_and_leaves_a_plain_float_network(digits: Data) -> None:
    module = network()
    recipe = Recipe(3, 32, 0.1)
    train(module, digits, recipe, 0)
    before = module[0].weight.detach().clone()  # type: ignore[operator]
    norms = module[1].running_mean.clone()  # type: ignore[operator]
    x = torch.rand(4, 1, 16, 16)
    for bare in aware_epochs(module, digits, replace(recipe, epochs=2, lr=0.01), UINT8, 0):
        weights = bare.state_dict()
        assert set(weights) == set(network().state_dict())
        assert not torch.equal(weights["0.weight"], before)
        assert torch.equal(weights["1.running_mean"], norms)
        with torch.no_grad():
            assert 0 < float((bare(x) - module(x)).abs().max()) < 1.0  # the one rounds, the other does not


def test_a_network_without_weights_is_refused(digits: Data) -> None:
    with pytest.raises(UsageError, match="--qat"):
        next(iter(aware_epochs(nn.Sequential(nn.Flatten()), digits, Recipe(1, 32, 0.1), UINT8, 0)))


def test_a_promise_asks_for_training_after_all_ranges_and_before_floats() -> None:
    model = onnx_bytes(network().eval(), (1, 1, 16, 16))
    images = [{"image": np.random.default_rng(i).random((1, 1, 16, 16), np.float32)} for i in range(2)]
    making = Making(
        model=model,
        form=UINT8,
        calibration=lambda: iter(images),
        target=load_target("host"),
        aware=lambda: iter([model, model]),
    )
    scores = iter([0.1, 0.2, 0.1, 0.3, 0.4, 0.5, 0.3, 0.9])
    steps = steps_to(making, lambda content: next(scores), 0.9, images)
    assert [step.aware_epochs for step in steps] == [0, 0, 0, 1, 1, 2, 2, 2]
    assert [len(step.floats) for step in steps] == [0] * 7 + [1]


def test_without_a_network_training_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cli

    (tmp_path / "m.onnx").write_bytes(onnx_bytes(network().eval(), (1, 1, 16, 16)))
    line = ["export", str(tmp_path / "m.onnx"), "--as", "int8", "--qat", "--out", str(tmp_path / "out")]
    assert cli.run(line) == 2
    assert "only the file is known" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
