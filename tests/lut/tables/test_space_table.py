from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lut
from lut import SpaceTable
from lut.caveats import state
from lut.devices.device import device_context, tables_folder
from lut.devices.reference_networks import EMPTY_KEY
from lut.tables.calibrate import split
from lut.tables.table import table_path
from lut.tables.time_budget import Stopwatch
from targets import Context, load_target
from targets.errors import DamagedFileError, TargetError, UsageError
from tests.support.logs import silent

HOST = load_target("host")


@pytest.fixture
def make(tmp_path: Path, blocks, networks) -> Callable[..., SpaceTable]:
    def space_table(**change) -> SpaceTable:
        given = {
            "space_id": "toy",
            "blocks": blocks,
            "networks": networks,
            "minutes": 0.5,
            "home": tmp_path,
            "exporter": "helper",
            "seed": 0,
            "log": lambda text: None,
            **change,
        }
        return lut.space_table(
            HOST, given.pop("space_id"), given.pop("blocks"), given.pop("networks"), **given
        )

    return space_table


def test_the_calibration_finds_the_formula_of_the_device(make, device, networks) -> None:
    table = make()
    assert table.errors["mape_pct"] < 0.5
    assert table.errors["within_5_pct"] == 100
    assert table.errors["spearman"] == pytest.approx(1.0)
    assert table.errors["macs_line_mape_pct"] > 5  # the formula weighs MACs by kernel
    assert table.errors["noise_floor_pct"] == 0
    assert (table.errors["n_calibration"], table.errors["n_check"]) == (12, 12)
    assert table.margin < 0.01
    for network in networks:
        assert table.network_ms(network.blocks) == pytest.approx(device.true_ms(network.key), rel=0.02)
        summed = table.intercept_ms + sum(table.latency_ms(k) for k in network.blocks)
        summed += table.square_ms_per_mb2 * sum(table.weight_mb(k) for k in network.blocks) ** 2
        assert summed == pytest.approx(device.true_ms(network.key), rel=0.02)
    for key, cost_ms in device.cost_ms.items():
        assert table.latency_ms(key) == pytest.approx(1.2 * cost_ms, rel=0.1)


def test_a_cache_that_large_networks_overflow_is_in_the_calibration(make, device, blocks, networks) -> None:
    weights = {p.key: p.features["weight_bytes"] for p in blocks}
    total = {w.key: sum(weights[k] for k in w.blocks) for w in networks}
    plain, typical = device.true_ms, sorted(total.values())[len(total) // 2]
    device.true_ms = lambda name: (
        plain(name) * (1 + 0.2 * (total[name.split("#")[0]] / typical) ** 2 if name.startswith("net") else 1)
    )
    table = make()
    assert table.errors["mape_pct"] < 0.6 * table.errors["sum_mape_pct"]
    assert table.square_ms_per_mb2 > 0


@pytest.mark.slow
def test_a_table_that_a_line_in_macs_beats_says_so(make, device, networks) -> None:
    said: list[str] = []
    make(log=said.append)
    assert not [text for text in said if "straight line in MACs" in text]
    macs, plain = {w.key: w.macs for w in networks}, device.true_ms
    device.true_ms = lambda name: (
        macs[name.split("#")[0]] / 1e6 if name.startswith("net") else 0.1 + 3.0 / (1 + plain(name))
    )
    table = make(space_id="other", log=said.append)
    assert table.errors["mape_pct"] > table.errors["macs_line_mape_pct"]
    assert [text for text in said if "MACs is off by 0.0 %" in text]


def test_weights_are_read_off_the_exported_files_when_the_features_lack_them(make, device, blocks) -> None:
    bare = [replace(p, features={k: v for k, v in p.features.items() if k != "weight_bytes"}) for p in blocks]
    device.known = lambda key: key != "conv3e3"
    table = make(blocks=bare)
    for block in blocks:
        # a file is its weights, 4 bytes each, and some 300 bytes of graph
        assert table.blocks.weight_bytes[block.key] == pytest.approx(
            block.features["weight_bytes"] + 300, rel=0.1
        )


def test_calibration_and_check_are_different_networks_and_both_span_the_space(networks) -> None:
    calibration, check = split(networks)
    assert not {w.key for w in calibration} & {w.key for w in check}
    assert len(calibration) >= 8
    assert len(check) >= 12
    middle = np.median([w.macs for w in networks])
    for group in (calibration, check):
        assert min(w.macs for w in group) < middle < max(w.macs for w in group)
    assert [len(g) for g in split(networks[:20])] == [8, 12]


def test_what_is_not_measured_is_predicted_and_the_error_is_stated(make, device, blocks) -> None:
    hidden = {blocks[i].key for i in (3, 9)}
    device.known = lambda key: key not in hidden
    table = make()
    assert table.errors["n_rows_measured"] == len(blocks) - 2
    assert table.errors["n_rows_predicted"] == 2
    assert table.errors["predictor_n_held_out"] == 3  # 20 % of 16
    assert table.errors["predictor_mape_pct"] > 0
    assert set(table.rows["key"]) == {p.key for p in blocks} - hidden
    for key in hidden:
        assert table.latency_ms(key) == pytest.approx(1.2 * device.cost_ms[key], rel=0.35)


def test_a_block_that_is_not_in_the_table_is_an_error_and_never_zero(make, device) -> None:
    table = make()
    with pytest.raises(UsageError, match=r"no block 'conv3e7' among its 18 \(did you mean 'conv3e\d'\?\)"):
        table.latency_ms("conv3e7")
    with pytest.raises(UsageError):
        table.network_ms(("conv3e1", "unknown"))


def test_a_table_of_an_earlier_version_is_calibrated_anew_from_its_rows(make, device, tmp_path) -> None:
    first = make()
    path = table_path(tables_folder(tmp_path, HOST) / first.context.hash, "toy")
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "version": 2}), encoding="utf-8")
    said: list[str] = []
    again = make(log=said.append)
    assert any("of an earlier version of hwnas: calibrated anew" in text for text in said)
    assert any("measuring 0 of 18 blocks (18 known)" in text for text in said)
    assert again.blocks == first.blocks and again.calibration == first.calibration


def test_reused_in_the_same_context_and_equal_when_loaded(make, device, tmp_path) -> None:
    first, messages = make(), list[str]()
    again = make(log=messages.append)
    assert len(device.asked) == 1
    assert "is reused" in messages[0]
    assert again == first
    folder = tables_folder(tmp_path, HOST) / first.context.hash
    assert SpaceTable.load(folder, "toy", device_context(HOST, "helper")) == first


@pytest.mark.slow
def test_another_context_measures_again_and_says_which_facts_differ(make, device) -> None:
    make()
    messages = list[str]()
    make(exporter="another", log=messages.append)
    assert len(device.asked) == 2
    assert "exporter: 'another' here, 'helper' there" in messages[0]


def test_a_table_of_another_context_is_refused_by_name_of_the_facts(make, device, tmp_path) -> None:
    table = make()
    folder = tables_folder(tmp_path, HOST) / table.context.hash
    other = Context({**table.context.facts, "ort_version": "0.1", "target_threads": 8})
    with pytest.raises(
        DamagedFileError, match=r"another context: ort_version: '0\.1' here.*target_threads: 8"
    ):
        SpaceTable.load(folder, "toy", other)


@pytest.mark.slow
def test_rows_are_shared_by_spaces_and_only_the_new_blocks_are_measured(
    make, device, blocks, networks
) -> None:
    few = [p for p in blocks if p.group != "k5"]
    keys = {p.key for p in few}
    known = {w.key: tuple(k for k in w.blocks if k in keys) or ("conv1e1",) for w in networks}
    device.networks |= known
    first = make(space_id="small", blocks=few, networks=[replace(w, blocks=known[w.key]) for w in networks])
    second = make()
    assert set(device.asked[1]) & keys == set()
    assert {p.key for p in blocks if p.group == "k5"} <= set(device.asked[1])
    a, b = (t.rows.set_index("key")["p20_ms"] for t in (first, second))
    assert (b.loc[a.index] == a).all()
    assert make(space_id="small") is not None  # its rows are still those it was made of


def test_a_slower_day_changes_nothing_because_the_reference_slows_down_too(make, device, blocks) -> None:
    make()
    device.slower = 1.5
    (found,) = lut.measure(HOST, {"net0": b"x"}, home=make_home(make), log=silent).values()
    assert found.p20_ms == pytest.approx(device.true_ms("net0"))
    assert found.p50_ms == pytest.approx(device.true_ms("net0"), rel=0.011)
    assert found.ci_low_ms <= found.p50_ms <= found.ci_high_ms


def make_home(make) -> Path:
    """The home that the fixture was made with."""
    closure = dict(zip(make.__code__.co_freevars, make.__closure__, strict=True))
    return closure["tmp_path"].cell_contents


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_that_are_no_time(make, device, minutes: float) -> None:
    with pytest.raises(UsageError, match="minutes of profiling must be above 0"):
        make(minutes=minutes)


def test_requests_that_cannot_be_met(make, device, blocks, networks) -> None:
    with pytest.raises(
        UsageError, match="at least 8 whole networks to calibrate on and 12 others to check, got 19"
    ):
        make(networks=networks[:19] + networks[:5])
    with pytest.raises(UsageError, match="each with a key of its own"):
        make(blocks=[*blocks, blocks[0]])
    with pytest.raises(UsageError, match="has a block 'strange'"):
        make(networks=[replace(networks[0], blocks=("strange",)), *networks[1:]])


def test_time_that_runs_out_is_said_and_nothing_half_made_is_left(make, device, tmp_path) -> None:
    device.known = lambda key: not key.endswith("#3")
    with pytest.raises(TargetError, match="time ran out before the whole networks were measured"):
        make()
    device.known = lambda key: key.startswith("net") or key in (EMPTY_KEY, "conv1e1")
    with pytest.raises(TargetError, match="only 1 of 18 blocks could be measured"):
        make()
    assert not list(tmp_path.rglob("toy.json"))


def test_too_few_minutes_for_the_exports(make, device, networks, monkeypatch) -> None:
    class Late(Stopwatch):
        spent = 1e9

    monkeypatch.setattr("lut.tables.build.Stopwatch", Late)
    with pytest.raises(UsageError, match="minutes of profiling are too few"):
        make()


def all_flagged(device, apart: float) -> None:
    """Every row flagged, and one of three sessions of each network slower by the share `apart`."""
    quiet = device.row

    def row(name: str) -> dict:
        times = quiet(name)
        slow = 1 + apart * ("#2" in name)
        return {**times, "p20_ms": times["p20_ms"] * slow, "flag": "ok" if name == EMPTY_KEY else "unstable"}

    device.row = row


def test_a_machine_too_noisy_to_measure_is_said_and_no_table_is_written(make, device, tmp_path) -> None:
    all_flagged(device, 0.18)
    # Of three pairs of sessions one agrees, the others differ by 0.18 and 1 - 1 / 1.18. Of 91 rows only that
    # of the empty run is not flagged: 24 networks three times, 18 blocks.
    with pytest.raises(
        TargetError, match=r"host: unstable: two sessions of a network differ by 11\.1 %"
    ) as no:
        make()
    assert "(at most 10 % by the cpu clock), and 99 % of the measurements were disturbed" in str(no.value)
    assert (
        "try later" in str(no.value) and "--accept-noise" in str(no.value) and "--resume RUN" in str(no.value)
    )
    assert not list(tmp_path.rglob("toy.json"))


def test_a_block_is_as_uncertain_as_sessions_differ_and_flagged_by_that(make, device, tmp_path) -> None:
    all_flagged(device, 0.05)
    rows = make().measured_rows
    noise = (0.05 + 1 - 1 / 1.05) / 3  # the mean difference of two of three sessions
    half = 1.96 * noise / (2 / np.sqrt(np.pi))  # of a normal distribution, whose mean difference that is
    assert {row.flag for row in rows.values()} == {"ok"}
    for row in rows.values():
        own = row.p50_ms * (1 - 1 / 1.01)
        expected = np.hypot(own, half * row.p50_ms)
        assert row.ci_high_ms - row.p50_ms == pytest.approx(expected, rel=0.02)


def test_a_block_whose_samples_scatter_widely_is_flagged_with_the_width(make, device) -> None:
    quiet = device.row
    device.row = lambda name: {**quiet(name), "ci_high_ms": quiet(name)["p50_ms"] * 1.2}
    rows = make().measured_rows
    assert {(row.flag, row.reason) for row in rows.values()} == {
        ("unstable", "the interval is 20% wide on a side")
    }


def test_sessions_that_agree_count_for_more_than_flags_and_the_noise_is_stated(make, device) -> None:
    quiet, said = make(space_id="quiet"), list[str]()
    assert (quiet.errors.get("noise"), state(quiet.errors)) == (None, "ok")
    all_flagged(device, 0.02)
    table = make(log=said.append)
    # of the three pairs of sessions one agrees, the others differ by 0.02 and 1 - 1 / 1.02
    differ = (0.02 + 1 - 1 / 1.02) / 3
    assert table.errors["noise_floor_pct"] == pytest.approx(100 * differ)
    assert "99 % of the measurements were disturbed" in table.errors["noise"]
    assert state(table.errors) == "noisy"
    assert [text for text in said if "is noisy: 99 %" in text]
    # nine of ten of a normal distribution, whose mean absolute difference is `differ`
    nine_of_ten = 1.6449 * differ / (2 / np.sqrt(np.pi))
    assert table.margin == pytest.approx(np.hypot(quiet.margin, nine_of_ten), rel=0.05)


def test_noise_that_is_accepted_is_stated_and_in_the_margin(make, device) -> None:
    all_flagged(device, 0.3)
    with pytest.raises(TargetError, match=r"differ by 17\.7 %"):
        make()
    said: list[str] = []
    table = make(accept_noise=True, log=said.append)
    assert len(device.asked) == 1, "what was measured counts, and is not measured again"
    assert [text for text in said if text.startswith("91 measurements of before are taken")]
    assert not list(make_home(make).rglob("*.disturbed.jsonl"))
    assert "differ by 17.7 %" in table.errors["noise"]
    assert table.margin > 0.25


def test_the_wall_clock_must_be_quieter(make, device, tmp_path) -> None:
    quiet = device.row

    def noisy(name: str, clock: str) -> dict:
        row = quiet(name)
        return {**row, "clock": clock, "p20_ms": row["p20_ms"] * (1 + 0.08 * ("#2" in name))}

    device.row = lambda name: noisy(name, "wall")
    with pytest.raises(TargetError, match=r"differ by 5\.1 % \(at most 3 % by the wall clock\).*one thread"):
        make()
    device.row = lambda name: noisy(name, "cpu")
    assert make().errors["noise_floor_pct"] == pytest.approx(5.1, abs=0.1)
