from __future__ import annotations

import numpy as np
import pytest

from lut.predictor.kernels.labels import labelled


def rows(make, kind: str, number: int, speed: float = 1.0):
    cpu = [float(speed * v) for v in (1.0, 1.01, 1.02, 1.5)]
    row = {
        "kind": kind,
        "key": "a",
        "pass": number,
        "clock": "cpu",
        "cpu_ms": cpu,
        "wall_ms": [9.0] * 4,
        "ratio": [v / (0.5 * speed) for v in cpu],
        "reference_p50_ms": 0.5 * speed,
    }
    if kind == "kernels":
        row["kernels"] = [make("Relu", [[8]], [8]).to_json()] * 2
        row["kernel_us"] = [[100.0 * speed, 0.0], [110.0 * speed, 0.0], [120.0 * speed, 0.0], [900.0, 0.0]]
    return row


def test_passes_are_pooled_and_disturbed_samples_left_out(make) -> None:
    found = labelled([rows(make, k, n) for k in ("time", "kernels") for n in (0, 1)])["a"]
    assert found.n_samples == 8
    assert 1.0 <= found.latency_ms <= 1.02
    assert 0.1 <= found.kernel_ms[0] <= 0.12


def test_a_kernel_that_shows_nothing_took_half_a_tick(make) -> None:
    found = labelled([rows(make, "time", 0), rows(make, "kernels", 0)])["a"]
    assert found.kernel_ms[1] == pytest.approx(0.0005)


def test_a_network_without_one_of_the_kinds_is_left_out(make) -> None:
    assert labelled([rows(make, "time", 0), {"kind": "memory", "key": "a", "pass": 0}]) == {}


def test_a_device_at_half_its_speed_is_scaled_back(make) -> None:
    usual = [rows(make, k, n) for k in ("time", "kernels") for n in (0, 1)]
    slow = [rows(make, k, 2, speed=2.0) for k in ("time", "kernels")]
    both, alone = labelled(usual + slow)["a"], labelled(usual)["a"]
    assert both.latency_ms == pytest.approx(alone.latency_ms, rel=0.03)
    assert np.allclose(both.kernel_ms, alone.kernel_ms, rtol=0.1)


def beside(row, others_cpus: list[float], slower: float = 1.0):
    """A pass of which the samples beside others, and the reference's, were slower by a factor."""
    factor = np.where(np.array(others_cpus) > 0.1, slower, 1.0)
    out = {**row, "cpu_ms": (np.array(row["cpu_ms"]) * factor).tolist(), "others_cpus": others_cpus}
    if row["kind"] == "kernels":
        out["kernel_us"] = (np.array(row["kernel_us"]) * factor[:, None]).tolist()
    return out


def test_the_speed_of_a_pass_is_that_of_its_samples_that_count(make) -> None:
    # Two of four samples of the second pass were taken beside others, at half the speed.
    kinds = ("time", "kernels")
    quiet = [beside(rows(make, k, 0), [0.0] * 4) for k in kinds]
    mixed = [beside(rows(make, k, 1), [0.0, 0.0, 1.0, 1.0], slower=2.0) for k in kinds]
    found = labelled(quiet + mixed)["a"]
    assert found.n_samples == 6
    # 1.0, 1.0, 1.01, 1.01, 1.02, 1.5 ms and 0.1, 0.1, 0.11, 0.11, 0.12, 0.9 ms, at place 0.35 * 5.
    assert found.latency_ms == pytest.approx(1.0075)
    assert found.kernel_ms[0] == pytest.approx(0.1075)


def test_a_pass_of_which_nobody_tells_who_ran_beside_it_was_not_alone(make) -> None:
    kinds = ("time", "kernels")
    told = [beside(rows(make, k, 0), [0.0] * 4) for k in kinds]
    for untold in (
        [rows(make, k, 1) for k in kinds],
        [{**rows(make, k, 1), "others_cpus": []} for k in kinds],
    ):
        for passes in (told + untold, untold + told):
            assert labelled(passes)["a"].n_samples == 4


def test_rows_without_ratios_count_as_they_are(make) -> None:
    """A device need not run the reference beside each sample."""
    usual = [rows(make, k, n) for k in ("time", "kernels") for n in (0, 1)]
    bare = [{**row, "ratio": []} for row in usual]
    assert labelled(bare)["a"].latency_ms == labelled(usual)["a"].latency_ms
