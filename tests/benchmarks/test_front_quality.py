"""The comparison of strategies, on a table that is made up."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.front_quality.__main__ import compare, main, summary
from benchmarks.front_quality.methods import METHODS, Evaluations, Spent
from benchmarks.front_quality.table import EDGES, Device, Table
from hwnas.spaces import load_space
from targets.errors import DamagedFileError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 15,625 architectures: accuracy grows with convolutions, latency with all operations but skips."""
    space = load_space("nasbench201", image_size=32, in_channels=3, n_classes=10)
    archs = list(itertools.product(range(5), repeat=6))
    number = {arch: i for i, arch in enumerate(archs)}
    same = [number[space.canonical(arch)] for arch in archs]
    live = np.array([archs[i] for i in same])
    value = np.array([0, 1, 4, 7, 2])[live].sum(axis=1)
    price = np.array([0, 0.1, 1, 3, 0.7])[live] @ np.arange(1, 7)
    accuracy = pd.DataFrame(np.array(archs), columns=EDGES)
    accuracy.insert(0, "idx", range(len(archs)))
    accuracy["iso_rep"] = same
    accuracy["c10_val200"] = 95 - 60 * np.exp(-value / 9) + np.sin(price * 7)
    accuracy["c10_test200"] = accuracy["c10_val200"] + 1
    accuracy["c10_params_M"], accuracy["c100_flops_M"] = 0.1 + value / 50, 10 + value
    latency = pd.DataFrame({"idx": range(len(archs)), "lat_ms_b": 2 + price, "lat_ms_a": 3 + price})
    path = tmp_path_factory.mktemp("table")
    accuracy.to_csv(path / "accuracy.csv", index=False)
    latency.to_csv(path / "latency.csv", index=False)
    return path


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return Table.read(folder)


def test_a_gap_is_0_for_the_true_front_and_falls_with_what_is_known(table: Table) -> None:
    device = Device(table, "a", ["latency_ms"])
    assert table.devices == ["a", "b"]
    assert device.gap(device.networks) == pytest.approx(0, abs=1e-12)
    assert device.gap([]) == 1
    gaps = [device.gap(device.networks[:n]) for n in (1, 10, 100, 1000)]
    assert gaps == sorted(gaps, reverse=True)


def test_a_single_network_dominates_its_box(table: Table) -> None:
    device = Device(table, "b", ["latency_ms"])
    row = int(device.networks[1234])
    both = np.column_stack([table.latency["lat_ms_b"], 1 - table.accuracy["c10_val200"] / 100])
    box = np.prod((both.max(axis=0) - both[row]) / np.ptp(both, axis=0))
    points = (both[device.networks] - both.min(axis=0)) / np.ptp(both, axis=0)
    whole, best = 0.0, 1.0
    for x, y in sorted(map(tuple, points)):  # the area of the staircase, by hand
        whole += max(best - y, 0) * (1 - x)
        best = min(best, y)
    assert device.gap([row]) == pytest.approx(1 - box / whole)


def test_a_network_is_charged_once_and_the_last_one_ends_the_run(table: Table) -> None:
    evaluations = Evaluations(Device(table, "a", ["latency_ms"]), n=2, noise=0.5, seed=0)
    dead = (0, 0, 0, 1, 0, 0), (3, 0, 0, 1, 0, 0)  # the convolution leads nowhere
    assert evaluations(dead[0]) == evaluations(dead[1])
    assert evaluations(dead[0], again=True) != evaluations.errors[0]
    with pytest.raises(Spent):
        evaluations((3, 3, 3, 3, 3, 3))
    assert len(evaluations.rows) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "nsga2", "optuna-nsga2", "optuna-tpe", "local-search", "bo"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_every_method_spends_what_it_is_given(table: Table, method: str, noise: float) -> None:
    for costs in (["latency_ms"], ["latency_ms", "params", "macs"]):
        outcomes = compare(table, ["a"], [method], 1, 20, noise=noise, costs=costs)
        assert 0 < outcomes[0].gaps[20] < 1 and len(outcomes[0].regrets) == 3
        assert min(outcomes[0].regrets) >= 0
    device = Device(table, "a", ["latency_ms"])
    evaluations = Evaluations(device, 20, noise, seed=0)
    with pytest.raises(Spent):
        METHODS[method](evaluations, 0)
        raise Spent
    assert len(evaluations.rows) == 20
    if not noise:
        assert len(set(evaluations.rows)) == 20 and set(evaluations.rows) <= set(device.networks)


def test_the_command_writes_every_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs.json"
    words = [folder, "--methods", "random", "bo", "--seeds", "2", "--evaluations", "20", "--json", path]
    monkeypatch.setattr(sys, "argv", ["front_quality", *map(str, words)])
    main()
    document = json.loads(path.read_text())
    assert document["settings"]["devices"] == ["b"] and len(document["runs"]) == 4
    assert "bo" in capsys.readouterr().out


def test_the_summary_averages_over_seeds_and_devices(table: Table) -> None:
    outcomes = compare(table, ["a", "b"], ["random"], 2, 20)
    row = summary(outcomes).loc["random"]
    assert row["gap 20"] == pytest.approx(1000 * np.mean([o.gaps[20] for o in outcomes]))
    by_device = [[o.gaps[20] for o in outcomes if o.device == d] for d in ("a", "b")]
    assert row["sd 20"] == pytest.approx(1000 * np.mean([np.std(v) for v in by_device]))


def test_tables_that_do_not_fit_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"accuracy\.csv does not exist"):
        Table.read(tmp_path)
    latency = pd.read_csv(folder / "latency.csv")
    latency[:-1].to_csv(tmp_path / "latency.csv", index=False)
    accuracy = pd.read_csv(folder / "accuracy.csv")
    accuracy.to_csv(tmp_path / "accuracy.csv", index=False)
    with pytest.raises(DamagedFileError, match="rows of the two tables"):
        Table.read(tmp_path)
    accuracy.drop(columns="iso_rep").to_csv(tmp_path / "accuracy.csv", index=False)
    with pytest.raises(DamagedFileError, match="no columns iso_rep"):
        Table.read(tmp_path)
    with pytest.raises(UsageError, match="no latencies of 'c'"):
        Device(Table.read(folder), "c", ["latency_ms"])
