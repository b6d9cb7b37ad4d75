from __future__ import annotations

import itertools

import numpy as np
import pytest

from profilers import Timing
from profilers.measure import REFERENCE_EVERY, measure, sample, warm_up

FAR = 10**18


def of(networks):
    return {("time", name, 0): network for name, network in networks.items()}


TIMING = Timing(seconds=1, min_rounds=10, max_rounds=10, min_sample_ms=0.001)


def test_a_sample_is_the_time_per_run_on_both_clocks_after_one_run_that_does_not_count(world) -> None:
    network = world.network("a", lambda call: 9_000_000 if call == 0 else 1_000_000, wait_ns=500_000)
    assert sample(network, 4, world.clocks) == (1.0, 1.5)
    assert network.calls == 5


@pytest.mark.parametrize(("cost_ns", "runs"), [(10_000, 100), (1_000_000, 1), (5_000_000, 1), (300_000, 4)])
def test_short_networks_are_repeated_until_a_sample_takes_a_millisecond(world, cost_ns, runs) -> None:
    assert warm_up(world.network("a", lambda _: cost_ns), Timing(seconds=1), world.clocks) == runs


def test_slow_first_runs_do_not_count_as_the_length_of_a_run(world) -> None:
    network = world.network("a", lambda call: 50_000_000 if call < 3 else 100_000)
    assert warm_up(network, Timing(seconds=1), world.clocks) == 10


def test_rows_hold_the_undisturbed_time_although_most_samples_are_disturbed(world) -> None:
    # Six of ten samples take three times as long; the 20 % quantile still sees the others.
    networks = {"a": world.network("a", lambda call: 3_000_000 if call % 10 >= 4 else 1_000_000)}
    timing = Timing(seconds=1, min_rounds=40, max_rounds=40)
    reference = world.network("ref", lambda _: 2_000_000)
    (row,) = measure(of(networks), reference, timing, "cpu", world.clocks, FAR)
    assert row["p20_ms"] == pytest.approx(1.0)
    assert row["p90_ms"] == pytest.approx(3.0)
    assert row["quiet_share"] == pytest.approx(0.4)
    assert row["p20_ratio"] == pytest.approx(0.5)
    assert row["reference_p20_ms"] == pytest.approx(2.0)
    assert len(row["ratio"]) == row["n"] == 40
    assert set(row["ratio"]) == {0.5, 1.5}


def test_the_wall_clock_is_used_when_it_is_asked_for(world) -> None:
    networks = {"a": world.network("a", lambda _: 1_000_000, wait_ns=1_000_000)}
    reference = world.network("ref", lambda _: 1_000_000)
    (row,) = measure(of(networks), reference, TIMING, "wall", world.clocks, FAR)
    assert (row["clock"], row["p50_ms"], row["cpu_share"]) == ("wall", 2.0, 0.5)


def test_every_round_has_every_network_once_in_a_new_order_and_the_reference(world) -> None:
    names = [f"n{i}" for i in range(20)]
    networks = {name: world.network(name, lambda _: 1_000_000) for name in names}
    reference = world.network("ref", lambda _: 1_000_000)
    rows = list(measure(of(networks), reference, TIMING, "cpu", world.clocks, FAR))
    assert sorted(r["key"] for r in rows) == sorted(names)
    runs = [name for name, _ in itertools.groupby(world.ran)]
    timed = runs[runs.index("n19") + 1 :]  # what follows the warm-up, which is in the order given
    rounds = [r for r in np.split(np.array(timed), np.flatnonzero(np.array(timed) == "ref")) if len(r)]
    per_round = -(-len(names) // REFERENCE_EVERY)
    orders = []
    for i in range(0, len(rounds), per_round):
        one_round = [n for r in rounds[i : i + per_round] for n in r if n != "ref"]
        assert sorted(one_round) == sorted(names)
        orders.append(tuple(one_round))
    assert len(orders) == TIMING.max_rounds
    assert len(set(orders)) > 1


def test_a_network_that_is_known_well_leaves_and_the_others_go_on(world) -> None:
    rng = np.random.default_rng(0)
    networks = {
        "steady": world.network("steady", lambda _: 1_000_000),
        "noisy": world.network("noisy", lambda _: int(1_000_000 * rng.uniform(1, 3))),
    }
    timing = Timing(seconds=1, min_rounds=10, max_rounds=60, ci_pct=1)
    rows = {
        r["key"]: r
        for r in measure(
            of(networks), world.network("ref", lambda _: 1_000_000), timing, "cpu", world.clocks, FAR
        )
    }
    assert rows["steady"]["n"] == 10
    assert rows["noisy"]["n"] == 60
    assert rows["steady"]["flag"] == "ok"


def test_out_of_time_returns_what_has_enough_samples_and_leaves_out_the_rest(world) -> None:
    networks = {
        "quick": world.network("quick", lambda _: 1_000_000),
        "slow": world.network("slow", lambda _: 1_000_000),
    }
    reference = world.network("ref", lambda _: 1_000_000)
    timing = Timing(seconds=1, min_rounds=10, max_rounds=10)
    assert list(measure(of(networks), reference, timing, "cpu", world.clocks, 15_000_000)) == []
    rows = list(measure(of(networks), reference, timing, "cpu", world.clocks, world.wall_ns + 70_000_000))
    assert len(rows) == 2
    assert all(4 <= r["n"] < 10 for r in rows)
