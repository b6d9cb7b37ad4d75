from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lut.predictor.kernels import model, network, regress
from lut.predictor.kernels.fit import fit_networks, summary
from lut.predictor.kernels.small import pooled
from lut.predictor.latency_predictor import LatencyPredictor, load
from lut.predictor.transfer import learning_curve, nearest, transferred
from targets import Context
from targets.errors import DamagedFileError, TargetError

WHEN = "2026-01-01T00:00:00+00:00"


def stored(fitted) -> LatencyPredictor:
    return LatencyPredictor(
        context=Context({"cpu": "x"}),
        target="host",
        date=WHEN,
        model=fitted.model,
        overhead=fitted.overhead,
        quantiles=fitted.quantiles,
        errors=fitted.errors,
        device_s=1.0,
    )


@pytest.fixture(scope="module")
def known(world):
    return fit_networks(world(24), 0)


def test_the_roofline_of_a_device_without_noise_is_found(world) -> None:
    kernels, times = pooled(world(30))
    rooflines = regress.fit(kernels, times, 0).rooflines
    assert regress.roof_ms(rooflines, kernels) - regress.TICK_MS == pytest.approx(times, rel=0.01)


def test_what_the_profiler_takes_is_no_part_of_a_kernel(world) -> None:
    """Microseconds of profiler per kernel, 10 per run: kernels are what they were, and the run is beside."""
    networks = world(30)
    taken_ms = {"conv": 0.0031, "matmul": 0.003, "memory": 0.0027}
    measured = [
        replace(
            n,
            kernel_ms=n.kernel_ms + np.array([taken_ms[k.family] for k in n.features]),
            latency_ms=float(n.kernel_ms.sum()) + 0.01,
        )
        for n in networks
    ]
    cost = network.fit_profiler_cost(measured)
    assert (cost.slope, cost.intercept_ms) == pytest.approx((1.0, 0.01), rel=0.02)
    assert cost.per_kernel_ms["conv"] + cost.per_kernel_ms["memory"] == pytest.approx(0.0058, rel=0.01)
    for before, after in zip(networks, network.without_profiler(measured, cost), strict=True):
        assert after.kernel_ms == pytest.approx(before.kernel_ms, rel=0.02, abs=4e-4)
    run = network.of_run(cost)
    assert run.latency_ms(0.5, 100) == pytest.approx(0.51, rel=1e-3)


def test_each_class_of_latency_has_an_interval_of_its_own() -> None:
    """Small networks ten times as far off as large ones: nine of ten of either lie inside."""
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.full(500, 0.05), np.full(500, 5.0)])
    spread = np.where(truth < 0.1, 0.1, 0.01)
    predicted = truth * np.exp(rng.standard_normal(1000) * spread)
    quantiles = network.class_quantiles(predicted, truth, np.ones(1000))
    assert quantiles[0] == pytest.approx(0.1 * 1.645, rel=0.15)
    assert quantiles[3] == pytest.approx(0.01 * 1.645, rel=0.15)
    low, high = network.interval_ms(2.0, 1.0, (0.3, 0.2, 0.1))
    assert low * high == pytest.approx(4.0)
    assert network.interval_ms(0.5, 1.0, (0.3, 0.2, 0.1))[1] / 0.5 > high / 2


def test_a_class_of_few_networks_takes_those_of_the_classes_beside_it() -> None:
    """Not those of the other end: networks of 20 ms are as far off as those of 5 ms, not as those of 0.05."""
    truth = np.repeat([0.05, 0.5, 5.0, 20.0], [500, 500, 500, 5])
    spread = np.repeat([1.0, 0.1, 0.01, 0.01], [500, 500, 500, 5])
    predicted = truth * np.exp(np.random.default_rng(0).standard_normal(len(truth)) * spread)
    quantiles = network.class_quantiles(predicted, truth, np.ones(len(truth)))
    assert quantiles[4] == pytest.approx(0.01 * 1.645, rel=0.15)
    assert 0.01 * 1.645 < quantiles[2] < 1.645  # of 1 to 3 ms there is none: those of 0.1 to 10 ms
    few = network.class_quantiles(predicted[:3], truth[:3], np.ones(3))
    assert few == pytest.approx([np.abs(np.log(predicted[:3] / truth[:3])).max()] * 5)


def test_an_interval_widens_with_the_distance_from_the_profile(known, make) -> None:
    near = known.model.ranges["plain Conv 1x1"]
    inside = model.outside([(a + b) / 2 for a, b in zip(*near, strict=True)], near)
    beyond = model.outside([b + 1 for b in near[1]], near)
    assert inside == 0
    assert beyond == pytest.approx(len(near[0]))


def test_the_line_from_kernels_to_networks_is_found(world) -> None:
    line = network.fit_profiler_cost(world(20))
    assert (line.slope, line.intercept_ms) == pytest.approx((1.1, 0.02), rel=1e-6)
    assert list(line.per_kernel_ms.values()) == pytest.approx([0, 0, 0], abs=1e-9)


def test_the_line_does_not_follow_a_network_that_is_far_off(world) -> None:
    networks = world(20)
    off = replace(networks[0], latency_ms=2 * networks[0].latency_ms)
    line = network.fit_profiler_cost([off, *networks[1:]])
    assert line.slope == pytest.approx(1.1, rel=0.01)
    assert line.intercept_ms == pytest.approx(0.02, abs=0.005)


@pytest.mark.slow
def test_networks_not_seen_are_predicted_to_a_few_percent(world) -> None:
    fitted = fit_networks(world(40, noise=0.02), 0)
    unseen = world(20, seed=7)
    predictor = stored(fitted)
    predicted = [predictor.estimate(network.kernels, "target", 1) for network in unseen]
    errors = [p.latency_ms / one.latency_ms - 1 for p, one in zip(predicted, unseen, strict=True)]
    assert np.abs(errors).mean() < 0.03
    assert fitted.errors["mape_pct"] < 4
    inside = [p.low_ms <= one.latency_ms <= p.high_ms for p, one in zip(predicted, unseen, strict=True)]
    assert np.mean(inside) >= 0.8


@pytest.mark.slow
def test_kernels_without_samples_are_flagged_and_never_free(known, make) -> None:
    predictor = stored(known)
    predicted = predictor.estimate([make("Softmax", [[1, 8, 49, 49]], [1, 8, 49, 49])], "target", 1)
    assert predicted.unknown == {"Softmax": 0}
    assert predicted.layers[0].source == "unknown"
    assert predicted.layers[0].latency_ms > 0


@pytest.mark.slow
def test_a_stored_predictor_says_the_same(known, world, tmp_path) -> None:
    predictor, kernels = stored(known), world(1, seed=3)[0].kernels
    predictor.save(tmp_path)
    assert load(tmp_path).estimate(kernels, "target", 5) == predictor.estimate(kernels, "target", 5)


@pytest.mark.parametrize("name", ["predictor.json", "plain-conv-1x1.onnx"])
def test_every_flipped_byte_is_noticed(known, tmp_path, name: str) -> None:
    stored(known).save(tmp_path)
    path = tmp_path / name
    raw = bytearray(path.read_bytes())
    for at in (0, len(raw) // 2, len(raw) - 2):
        torn = bytearray(raw)
        torn[at] ^= 1
        path.write_bytes(torn)
        with pytest.raises(DamagedFileError, match="latency predictor"):
            load(tmp_path)
    path.unlink()
    with pytest.raises(DamagedFileError):
        load(tmp_path)


def test_too_few_networks_are_refused(world) -> None:
    with pytest.raises(TargetError, match="only 9 networks"):
        fit_networks(world(9), 0)


@pytest.mark.slow
def test_ten_networks_carry_a_predictor_to_a_device_twice_as_slow(known, world) -> None:
    base = known
    slow, unseen = world(10, seed=5, factor=2.0), world(20, seed=6, factor=2.0)

    def error(found) -> float:
        predicted = [
            found.overhead.latency_ms(found.model.predict_ms(n.features).sum(), len(n.kernels))
            for n in unseen
        ]
        return float(np.abs(np.array(predicted) / [n.latency_ms for n in unseen] - 1).mean())

    before, after = (
        error(transferred(base.model, base.overhead, [], 0)),
        error(transferred(base.model, base.overhead, slow, 0)),
    )
    assert before == pytest.approx(0.5, abs=0.03)
    assert after < 0.05


@pytest.mark.slow
def test_a_transferred_predictor_can_be_stored(known, world, tmp_path) -> None:
    moved = stored(transferred(known.model, known.overhead, world(10, seed=5, factor=2.0), 0))
    moved.save(tmp_path)
    kernels = world(1, seed=9)[0].kernels
    assert load(tmp_path).estimate(kernels, "target", 1) == moved.estimate(kernels, "target", 1)


def test_figures_of_errors_by_hand() -> None:
    found = summary(np.array([1.04, 2.0, 3.6]), np.array([1.0, 2.0, 3.0]))
    assert found["mape_pct"] == pytest.approx((4 + 0 + 20) / 3)
    assert (found["within_5_pct"], found["within_10_pct"]) == pytest.approx((200 / 3, 200 / 3))
    assert found["spearman"] == pytest.approx(1.0)


def test_an_interval_holds_the_share_that_it_says() -> None:
    rng = np.random.default_rng(0)
    uncertain = rng.uniform(0.01, 0.1, 2000)
    quantile = network.conformal_quantile(rng.standard_normal(1000) * uncertain[:1000], uncertain[:1000])
    fresh = np.abs(rng.standard_normal(1000) * uncertain[1000:]) <= quantile * uncertain[1000:]
    assert fresh.mean() == pytest.approx(network.COVERAGE, abs=0.03)


@pytest.mark.slow
def test_the_nearest_device_is_the_one_that_differs_by_one_factor(known, world) -> None:
    even = stored(known)
    crooked = stored(fit_networks(world(12, noise=0.6), 0))
    assert nearest([crooked, even], world(5, seed=4, factor=3.0)) is even


@pytest.mark.slow
def test_the_error_falls_with_the_networks_measured(known, world) -> None:
    curve = learning_curve(stored(known), world(24, seed=8, factor=2.0), 0)
    assert list(curve) == ["0", "5", "10", "20"]
    assert curve["0"] > 40
    assert curve["10"] < 5


def test_kernels_of_one_kind_are_off_together() -> None:
    """By hand: a hundred of one kind are as uncertain as one of them; of a hundred kinds, 100 ** -0.25."""
    times, spread = np.full(100, 0.05), np.full(100, 0.4)
    assert network.predicted_uncertainty(times, spread, ["Sin"] * 100) == pytest.approx(0.4)
    kinds = [f"kind {i}" for i in range(100)]
    assert network.predicted_uncertainty(times, spread, kinds) == pytest.approx(0.4 * 100**-0.25)
