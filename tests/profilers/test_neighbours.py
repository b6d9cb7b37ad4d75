from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from profilers import Timing
from profilers.measure import measure
from profilers.neighbours import LEAST, QUIET_CPUS, Watch, alone, counted, others_ns

MS = 1_000_000


def watched(others: list[tuple[int, int]]) -> Watch:
    """A watch that saw (wall ms, ms that others worked so far)."""
    seen = iter(others)
    now = [0, 0]

    def wall_ns() -> int:
        now[:] = next(seen)
        return now[0] * MS

    watch = Watch(wall_ns, lambda: now[1] * MS)
    for _ in others[1:]:
        watch.look()
    return watch


def test_the_share_around_a_sample_by_hand() -> None:
    # Nobody for a second, one CPU for a second, then two for half a second.
    watch = watched([(0, 0), (1000, 0), (2000, 1000), (2500, 2000)])
    at = [t * MS for t in (500, 1000, 1500, 2000, 2250, 2500)]
    assert watch.cpus(at) == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.0])


def test_two_looks_shortly_after_one_another_are_one() -> None:
    assert watched([(0, 0), (10, 10), (49, 10)]).cpus([0]) == []
    assert watched([(0, 0), (10, 10), (100, 20)]).cpus([0]) == pytest.approx([0.2])


def test_the_count_never_runs_backwards() -> None:
    # This process's own clock is finer than the ticks, so the difference may be a little below zero.
    assert watched([(0, 5), (1000, 3)]).cpus([500 * MS]) == [0.0]


def test_enough_samples_alone_count_without_the_others() -> None:
    samples = np.arange(20.0)
    few = [0.0] * (LEAST - 1) + [1.0] * (21 - LEAST)
    assert alone(few) is None
    assert counted(samples, few) is samples
    assert counted(samples, [1.0] * 12 + [0.05] * 8).tolist() == list(range(12, 20))
    assert counted(samples, []) is samples


def test_where_nobody_counts_all_samples_count(tmp_path) -> None:
    for text in (None, "", "cpu\n", "cpu a b c d e f g h\n"):
        path = tmp_path / "stat"
        if text is not None:
            path.write_text(text)
        assert others_ns(path) is None
        assert Watch(time.perf_counter_ns, partial(others_ns, path)).cpus([1, 2]) == []


def test_the_count_is_what_all_worked_without_own_work_and_idle_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    path = tmp_path / "stat"
    # user nice system idle iowait irq softirq steal guest guest_nice, in ticks: 636 worked
    path.write_text("cpu  500 30 100 9999 888 1 2 3 77 7\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    monkeypatch.setattr(time, "process_time_ns", lambda: 2_000_000_000)
    assert others_ns(path) == int(636 / os.sysconf("SC_CLK_TCK") * 1e9) - 2_000_000_000


@pytest.mark.slow
@pytest.mark.skipif(others_ns() is None, reason="this system does not count")
def test_the_work_of_others_is_counted() -> None:
    def children_ns() -> float:
        return 1e9 * sum(os.times()[2:4])

    code = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.5: pass"
    before, began = others_ns(), children_ns()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = others_ns()
    assert before is not None and after is not None
    assert after - before >= 0.8 * (children_ns() - began) >= 0.4e9


def test_samples_beside_others_do_not_count(world) -> None:
    # Others come after 20 s and stay: from there on the network takes 1.5 times as long.
    busy_from = 20_000 * MS
    world.others = lambda wall_ns: max(0, wall_ns - busy_from)
    network = world.network("a", lambda call: (150 if world.wall_ns > busy_from else 100) * MS)
    reference = world.network("ref", lambda _: 100 * MS)
    timing = Timing(seconds=1e3, min_rounds=80, max_rounds=80, min_sample_ms=0.001)
    (row,) = measure({("time", "a", 0): network}, reference, timing, "cpu", world.clocks, 10**18)
    assert row["n"] == len(row["others_cpus"]) == 80
    assert 0.2 < np.mean(np.array(row["others_cpus"]) < 0.1) < 0.8
    assert row["p90_ms"] == pytest.approx(100.0)
    assert row["flag"] == "ok"


def test_a_network_is_not_known_well_from_a_few_samples_alone(world) -> None:
    # Others rest for the first 15 of 60 samples or so: fewer than the 30 that an interval is asked to have.
    world.others = lambda wall_ns: max(0, wall_ns - 7_200 * MS)
    networks = {("time", "a", 0): world.network("a", lambda _: 100 * MS)}
    reference = world.network("ref", lambda _: 100 * MS)
    timing = Timing(seconds=1e3, min_rounds=30, max_rounds=60, min_sample_ms=0.001)
    (row,) = measure(networks, reference, timing, "cpu", world.clocks, 10**18)
    assert LEAST <= np.sum(np.array(row["others_cpus"]) <= QUIET_CPUS) < timing.min_rounds
    assert row["n"] == 60


@pytest.mark.parametrize(("alone_until_ms", "filtered"), [(6_000, False), (12_000, True)])
def test_the_reference_is_seen_in_the_states_that_the_network_is(world, alone_until_ms, filtered) -> None:
    # Others come and stay, and all takes twice as long. The reference runs before each of the two networks:
    # at first it alone has enough samples alone.
    busy_from = alone_until_ms * MS
    world.others = lambda wall_ns: max(0, wall_ns - busy_from)

    def cost(_: int) -> int:
        return (200 if world.wall_ns > busy_from else 100) * MS

    networks = {("time", name, 0): world.network(name, cost) for name in "ab"}
    timing = Timing(seconds=1e3, min_rounds=20, max_rounds=20, min_sample_ms=0.001)
    reference = world.network("ref", cost)
    for row in measure(networks, reference, timing, "cpu", world.clocks, 10**18):
        n_alone = np.sum(np.array(row["others_cpus"]) <= QUIET_CPUS)
        assert LEAST / 2 <= n_alone < LEAST or (filtered and n_alone >= LEAST)
        slowest_ms = 100.0 if filtered else 200.0
        assert (row["p90_ms"], row["reference_quantiles_ms"][-1]) == pytest.approx((slowest_ms, slowest_ms))
