"""A policy of preference and device: by hand, and in a search for two devices with opposite costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from hwnas.gradient.device_fronts import device_front, device_fronts, unseen_device
from hwnas.gradient.methods import METHODS
from hwnas.gradient.parts.hyper_policy import HyperPolicy
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.step.devices import N_FEATURES, describe_device, reference_archs, search_devices
from targets.errors import UsageError
from tests.support.toy import ToyBatches, ToyCosts, ToySupernet, toy_space


def test_logits_are_tables_mixed_by_device_and_interpolated_by_preference() -> None:
    """Two tables, three knots, one choice of two options, by hand."""
    space = toy_space(1)
    policy = HyperPolicy(space.choices, torch.Generator().manual_seed(0), tables=2, knots=3)
    with torch.no_grad():
        policy.tables[0] = torch.tensor([[0.0, 0, 0], [4, 0, 0], [8, 0, 2]])
        policy.tables[1] = torch.tensor([[0.0, 6, 0], [0, 6, 0], [0, 6, 0]])
        policy.keys.zero_()
        policy.keys[0, 0] = math.sqrt(N_FEATURES) * math.pi / 2
    features = torch.zeros(N_FEATURES)
    features[0] = 1.0  # sin(pi / 2) = 1 against sin(0) = 0
    share = math.e / (1 + math.e)
    (a,) = policy.logits_at(0.75, features)  # between the second and the third knot
    assert a.tolist() == pytest.approx([share * 6, (1 - share) * 6, share * 1])
    (b,) = policy.logits_at(0.0, torch.zeros(N_FEATURES))
    assert b.tolist() == pytest.approx([0, 3, 0])
    with policy.under(0.75, features):
        assert policy.free_logits()[0].tolist() == pytest.approx(a.tolist())
        assert policy.soft_mix().probs[0].tolist() == pytest.approx(a.softmax(0).tolist())
    assert policy.free_logits() == ()


def test_features_say_which_options_are_dear_and_not_how_fast_a_device_is() -> None:
    costs = np.arange(1.0, N_FEATURES + 1)
    slow, fast = describe_device("latency_ms", 100 * costs), describe_device("latency_ms", costs)
    assert slow.features.tolist() == pytest.approx(fast.features.tolist(), abs=1e-5)
    assert float(fast.features.norm()) == pytest.approx(math.sqrt(N_FEATURES), rel=1e-5)
    assert fast.typical == 5.5


def opposite(rows: Sequence[Sequence[float]]) -> ToyCosts:
    """On the one device the first option is dear, on the other the second."""
    space = toy_space(3)
    other = [[row[1], row[0], row[2]] for row in rows]
    return ToyCosts(space, {"latency_ms": rows, "latency_ms@pi": other})


@pytest.fixture(scope="module")
def search() -> GradientSearch:
    """Options strong (classifies best), weak and none; 400 steps."""
    space = toy_space(3)
    settings = SearchSettings(steps=400, epoch_steps=100, seed=0)
    costs = opposite([[4.0, 1.0, 0.9]] * 3)
    made = GradientSearch(
        space, ToySupernet(3), costs, (), METHODS["modnas"], ToyBatches(1), ToyBatches(2), settings
    )
    made.run()
    return made


@pytest.mark.slow
def test_one_search_has_a_front_per_device(search: GradientSearch) -> None:
    """From the cheapest architecture, none everywhere, to one that keeps what classifies best."""
    for device, dear in zip(search.devices, (0, 1), strict=True):
        rays = device_front(search, device)
        ms = search.costs.of([ray.arch for ray in rays])[device.metric]
        assert [ray.preference for ray in rays] == sorted(ray.preference for ray in rays)
        assert rays[0].arch == (2, 2, 2) and 0 in rays[-1].arch
        assert device_fronts(search)[device.metric] == rays
        assert len(rays) >= 3 and list(ms) == sorted(ms)
        halfway = [ray.arch for ray in rays if 0 < ray.preference < 0.7]
        assert halfway and all(dear not in arch for arch in halfway)


@pytest.mark.slow
def test_an_unseen_device_is_served_by_its_features(search: GradientSearch) -> None:
    """It prices as the first does, four times as slow and with 5 % of noise, and gets a front like its."""
    reference, first = reference_archs(search.space), search.devices[0]
    noise = np.random.default_rng(0).uniform(0.95, 1.05, len(reference))
    unseen = unseen_device(search, "phone", search.costs.of(reference)["latency_ms"] * 4 * noise)
    assert unseen.metric == "latency_ms@phone" and unseen.typical > 3 * first.typical
    known = {ray.arch for ray in device_front(search, first)}
    assert len(known & {ray.arch for ray in device_front(search, unseen)}) >= len(known) - 1
    with pytest.raises(UsageError, match="device phone needs the latencies of 10 reference"):
        unseen_device(search, "phone", np.ones(3))


def test_another_method_has_no_front_per_device() -> None:
    space = toy_space(3)
    costs = opposite([[4.0, 1.0, 0.9]] * 3)
    settings = SearchSettings(steps=1, epoch_steps=1, seed=0)
    other = GradientSearch(
        space, ToySupernet(3), costs, (), METHODS["darts"], ToyBatches(1), ToyBatches(2), settings
    )
    assert device_fronts(other) == {}
    with pytest.raises(UsageError, match="one policy for all devices; search by 'modnas'"):
        device_front(other, search_devices(space, costs)[0])
