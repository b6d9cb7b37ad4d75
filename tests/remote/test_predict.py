"""Predictions for a device that does not answer: its kernels follow from its layout rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import lut
from lut.devices.device import device_context
from lut.predictor.generate import generate
from lut.predictor.kernels.model import KernelModel
from lut.predictor.kernels.network import STRATA_MS, Overhead
from lut.predictor.latency_predictor import LatencyPredictor
from lut.predictor.layout import extended_kernels, learn_rule, run_kernels
from lut.predictor.profile import predictor_folder
from targets import Reach, Target, load_target
from targets.errors import DamagedFileError, TargetError
from tests.support.loopback import free_port

pytestmark = pytest.mark.slow


HOST = load_target("host")
DATE = "2026-01-02"


@pytest.fixture
def away() -> Target:
    """A board at a port of this machine where nobody listens."""
    reach = Reach(transport="ssh", host="127.0.0.1", port=free_port(), connect_timeout_s=10)
    return replace(HOST, name="away", reach=reach)


def store(home: Path, target: Target, rule: dict | None) -> None:
    """A predictor to which each kind of kernel has a price per byte, as profiled when the target answered."""
    family = (0.01, 1e-6, 2e-6, 3e-6, 0, 0, 0)
    model = KernelModel(
        rooflines=dict.fromkeys(("conv", "matmul", "memory"), family),
        trees={},
        counts={},
        spread=dict.fromkeys(("conv", "matmul", "memory"), 0.1),
    )
    context = device_context(HOST, "")  # this machine as it was when it had another name
    made = LatencyPredictor(
        context,
        target.name,
        DATE,
        model,
        Overhead(1.0, 0.0, 0.0),
        (1.0,) * len(STRATA_MS),
        {"mape_pct": 4.5},
        300.0,
        rule,
    )
    made.save(predictor_folder(home, target, context.hash))


@pytest.fixture(scope="module")
def rule() -> dict:
    files = [network.onnx() for network in generate(4, 1)]
    return learn_rule([(extended_kernels(data), run_kernels(data, HOST)) for data in files]).to_json()


def test_it_is_priced_by_the_kernels_that_it_would_run(away: Target, rule: dict, tmp_path: Path) -> None:
    store(tmp_path, away, rule)
    store(tmp_path, HOST, None)
    said: list[str] = []
    for network in generate(3, 7):  # which the rule has not seen
        data = network.onnx()
        found = lut.load_predictor(away, tmp_path).predict(data, log=said.append)
        real = lut.load_predictor(HOST, tmp_path).predict(data)
        assert (found.kernels_from, real.kernels_from) == ("layout rule", "target")
        assert found.latency_ms == pytest.approx(real.latency_ms, rel=1e-6)
        assert sorted(layer.kind for layer in found.layers) == sorted(layer.kind for layer in real.layers)
    assert len(said) == 3
    assert all("cannot be reached" in line and "worked out here" in line for line in said)


def test_without_the_layout_the_kernels_would_be_others(rule: dict) -> None:
    """The comparison above says something: level `extended` alone has no kernel of the blocked layout."""
    data = next(iter(generate(3, 7))).onnx()
    assert rule["blocked"]
    plain, real = extended_kernels(data), run_kernels(data, HOST)
    assert [kernel.domain for kernel in plain] != [kernel.domain for kernel in real]


def test_asked_for_by_name_the_target_must_answer(away: Target, rule: dict, tmp_path: Path) -> None:
    store(tmp_path, away, rule)
    predictor, data = lut.load_predictor(away, tmp_path), next(iter(generate(1, 7))).onnx()
    with pytest.raises(TargetError, match="cannot be reached"):
        predictor.predict(data, kernels_from="target")
    assert predictor.predict(data, kernels_from="layout rule").kernels_from == "layout rule"


def test_without_a_rule_there_is_no_prediction(away: Target, tmp_path: Path) -> None:
    store(tmp_path, away, None)
    predictor, data = lut.load_predictor(away, tmp_path), next(iter(generate(1, 7))).onnx()
    with pytest.raises(TargetError, match="cannot be reached"):
        predictor.predict(data)
    with pytest.raises(DamagedFileError, match="no layout rule"):
        predictor.predict(data, kernels_from="layout rule")
