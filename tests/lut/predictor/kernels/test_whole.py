from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lut.predictor.kernels.fit import fit_networks
from lut.predictor.kernels.network import Overhead
from lut.predictor.kernels.whole import (
    FADES_MS,
    MIN_NETWORKS,
    faded,
    fit_whole,
    left_out_factors,
    network_features,
    total_ms,
    whole_as_onnx,
)

RUN = Overhead(1.0, 0.0, 0.02)


def parts(networks):
    """(features of the networks, predicted by their own kernels, (n,) folds)."""
    predicted = np.array([RUN.latency_ms(float(n.kernel_ms.sum()), len(n.features)) for n in networks])
    rows = [network_features(n.features, n.kernel_ms, ms) for n, ms in zip(networks, predicted, strict=True)]
    return rows, predicted, np.arange(len(networks)) % 4


def test_what_all_networks_are_off_is_found_and_left_out_networks_are_corrected(world) -> None:
    networks = world(60)
    rows, predicted, folds = parts(networks)
    factors = left_out_factors(rows, predicted, 0.9 * predicted, folds, 0)
    assert factors == pytest.approx(faded(np.full(60, np.log(0.9)), predicted), rel=1e-6)


def test_a_network_tells_nothing_of_its_own_factor(world) -> None:
    """Truths that no feature explains: where factors were fitted on them, they would follow them."""
    networks = world(80)
    rows, predicted, _ = parts(networks)
    small = np.minimum(predicted, 0.9 * FADES_MS[0])
    noise = np.random.default_rng(0).choice([-0.2, 0.2], 80)
    factors = left_out_factors(rows, small, small * np.exp(noise), np.arange(80) % 4, 0)
    assert abs(np.corrcoef(np.log(factors), noise)[0, 1]) < 0.35


def test_few_networks_and_networks_that_are_far_off_correct_nothing(world) -> None:
    rows, predicted, _ = parts(world(MIN_NETWORKS))
    assert fit_whole(rows[:-1], predicted[:-1], 0.9 * predicted[:-1], 0) is None
    assert fit_whole(rows, predicted, 0.3 * predicted, 0) is None
    assert fit_whole(rows, predicted, 0.9 * predicted, 0) is not None
    assert whole_as_onnx(None) is None


def test_the_correction_fades_where_kernels_are_long() -> None:
    ms = np.array([0.01, FADES_MS[0], np.sqrt(FADES_MS[0] * FADES_MS[1]), FADES_MS[1], 100.0])
    assert faded(np.full(5, np.log(0.5)), ms) == pytest.approx([0.5, 0.5, np.sqrt(0.5), 1.0, 1.0])


def test_a_stored_correction_says_what_the_trees_say_and_its_layers_add_up(world) -> None:
    networks = world(50)
    rows, predicted, _ = parts(networks)
    trees = fit_whole(rows, predicted, predicted * np.linspace(0.8, 1.1, 50), 0)
    file = whole_as_onnx(trees)
    for n, row, ms in zip(networks[:5], rows, predicted, strict=False):
        latency_ms, factor = total_ms(RUN, file, n.features, n.kernel_ms)
        log = trees.predict(np.array([row], np.float32))
        assert factor == pytest.approx(float(faded(log, np.array([ms]))[0]), rel=1e-5)
        assert latency_ms == pytest.approx(factor * (n.kernel_ms.sum() + 0.02))
    assert total_ms(RUN, None, networks[0].features, networks[0].kernel_ms)[1] == 1.0
    assert total_ms(RUN, file, [], np.array([])) == (0.02, 1.0)


def test_features_of_a_network_by_hand(make, make_conv) -> None:
    from lut.predictor.kernels.features import features_of

    features = features_of([make_conv(8, 16, 8, 3), make("Relu", [[1, 16, 8, 8]], [1, 16, 8, 8])])
    row = network_features(features, np.array([0.03, 0.01]), 0.05)
    assert row.log_latency == pytest.approx(np.log(0.05))
    assert (row.log_kernels, row.log_kernel) == pytest.approx((np.log(2), np.log(0.02)))
    assert (row.conv_share, row.matmul_share, row.depthwise_share) == pytest.approx((0.75, 0.0, 0.0))


@pytest.mark.slow
def test_a_bias_of_small_networks_is_mended(world) -> None:
    """Networks below a millisecond run in 0.9 of what their kernels take when larger ones are among them."""
    networks = [replace(n, latency_ms=n.latency_ms * (0.9 if n.latency_ms < 1 else 1.0)) for n in world(80)]
    fitted = fit_networks(networks, 0)
    unseen = world(30, seed=5)
    off = []
    for n in unseen:
        truth = n.latency_ms * (0.9 if n.latency_ms < 1 else 1.0)
        latency_ms, _ = total_ms(
            fitted.overhead, fitted.whole, n.features, fitted.model.predict_ms(n.features)
        )
        off.append(latency_ms / truth - 1)
    assert np.mean(np.abs(off)) < 0.05
