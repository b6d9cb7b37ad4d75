"""Two models of kernels: that of small networks counts in small networks, and only of the kinds it knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lut.predictor.kernels.features import features_of
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.model import KernelModel
from lut.predictor.kernels.network import STRATA_MS, Overhead, faded_share
from lut.predictor.kernels.regress import TICK_MS, Forests, counted
from lut.predictor.kernels.small import FADES_MS, FITTED_BELOW_MS, at_its_scale, fit_scales, pooled
from lut.predictor.latency_predictor import LatencyPredictor, load
from lut.predictor.transfer import transferred
from targets import Context
from targets.errors import DamagedFileError


def call(ms: float) -> tuple[float, ...]:
    """The roofline of kernels that take `ms`, however large they are."""
    return (ms, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def relus(make, n: int):
    """n kernels of one kind; each is 20 us in the model of all networks, 10 us in that of small ones."""
    return features_of([make("Relu", [[1, 8]], [1, 8]) for _ in range(n)])


@pytest.fixture(scope="module")
def networks(world) -> list[Labelled]:
    """Every second network has kernels of a hundredth of the others' times, as in warm caches."""
    found = []
    for i, n in enumerate(world(14)):
        ms = n.kernel_ms * (0.1 if i % 2 else 10.0)
        found.append(replace(n, kernel_ms=ms, latency_ms=float(ms.sum()) + 0.02))
    assert {n.latency_ms < FITTED_BELOW_MS for n in found} == {True, False}
    return found


@pytest.fixture(scope="module")
def model(networks) -> KernelModel:
    scales, features = fit_scales(networks, 0), pooled(networks)[0]
    large, small = scales.large.as_onnx(features), scales.small.as_onnx(features)
    return KernelModel(large.rooflines, large.trees, counted(features), {}, tick_ms=TICK_MS, small=small)


def test_the_share_fades_evenly_on_a_logarithmic_scale() -> None:
    middle = float(np.sqrt(FADES_MS[0] * FADES_MS[1]))
    assert faded_share(np.array([1e-3, FADES_MS[0], middle, FADES_MS[1], 50.0]), FADES_MS) == pytest.approx(
        [1.0, 1.0, 0.5, 0.0, 0.0]
    )


@pytest.mark.parametrize(("n", "expected_ms"), [(3, 0.01), (100, 0.02)])
def test_small_networks_take_their_own_prices_and_large_ones_do_not(make, n: int, expected_ms: float) -> None:
    """3 kernels of 20 us are 0.06 ms, 100 are 2 ms."""
    flat = KernelModel({"memory": call(0.02)}, {}, {}, {}, small=Forests({"Relu": call(0.01 + 3e-4)}, {}))
    assert flat.predict_ms(relus(make, n)) == pytest.approx(np.full(n, expected_ms))


def test_between_them_prices_are_the_geometric_mean_by_share(make) -> None:
    features = relus(make, 9)
    share = np.log(FADES_MS[1] / 0.18) / np.log(FADES_MS[1] / FADES_MS[0])
    mixed = at_its_scale(np.full(9, 0.02), Forests({"Relu": call(0.01 + 3e-4)}, {}), features)
    assert mixed == pytest.approx(np.full(9, 0.02 * 0.5**share))


def test_kinds_that_small_networks_lack_keep_the_price_of_all(make) -> None:
    features = features_of([make("Relu", [[1, 8]], [1, 8]), make("Tanh", [[1, 8]], [1, 8])])
    mixed = at_its_scale(np.full(2, 0.02), Forests({"Relu": call(0.01 + 3e-4)}, {}), features)
    assert mixed == pytest.approx([0.01, 0.02])
    assert at_its_scale(np.full(2, 0.02), Forests({}, {}), features) == pytest.approx([0.02, 0.02])


def test_it_is_fitted_on_small_networks_alone(model, networks) -> None:
    """The kernels of small networks take a hundredth of those of the others."""
    off = []
    for n in networks:
        known = [i for i, kernel in enumerate(n.features) if kernel.kind in model.small.rooflines]
        small_ms = model.small.predict_ms([n.features[i] for i in known])
        off.append(small_ms.sum() / n.kernel_ms[known].sum())
    small = np.array([n.latency_ms < FITTED_BELOW_MS for n in networks])
    assert np.array(off)[small] == pytest.approx(np.ones(small.sum()), abs=0.25)
    assert np.array(off)[~small] == pytest.approx(np.full((~small).sum(), 0.01), rel=0.6)
    assert model.small.trees.keys() <= model.small.rooflines.keys()


def test_without_small_networks_there_is_one_model(networks) -> None:
    large = [n for n in networks if n.latency_ms > FITTED_BELOW_MS][:3]
    assert not fit_scales(large, 0).small.rooflines


def test_it_is_stored_with_checksums_and_read_as_it_was(model, networks, tmp_path: Path) -> None:
    predictor = LatencyPredictor(
        context=Context({"cpu": "x"}),
        target="host",
        date="2026-01-01T00:00:00+00:00",
        model=model,
        overhead=Overhead(1.0, 0.0, 0.01),
        quantiles=(1.0,) * len(STRATA_MS),
        errors={},
        device_s=1.0,
    )
    predictor.save(tmp_path)
    read = load(tmp_path).model
    for n in networks[:4]:
        assert read.predict_ms(n.features) == pytest.approx(model.predict_ms(n.features), rel=1e-9)
    assert read.small == model.small
    (file, *_) = sorted(tmp_path.glob("small-*.onnx"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match=file.name):
        load(tmp_path)


def test_a_model_that_is_moved_prices_each_network_at_its_own_scale(make) -> None:
    """To the device that it comes from: all factors are 1. Were all networks one, none would be small."""
    base = KernelModel({"memory": call(0.02)}, {}, {}, {}, small=Forests({"Relu": call(0.01 + 3e-4)}, {}))
    measured = []
    for n, ms in ((3, 0.01), (30, 0.02)):
        features = relus(make, n)
        measured.append(Labelled(f"n{n}", [], features, np.full(n, ms), n * ms, 0.01, 12))
    moved = transferred(base, Overhead(1.0, 0.0, 0.0), measured, 0).model
    assert [factor for (factor,) in moved.rooflines.values()] == pytest.approx(np.ones(2))
    assert moved.predict_ms(measured[0].features) == pytest.approx(np.full(3, 0.01))
