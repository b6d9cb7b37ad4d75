"""Profiles that were cut short, and those of a disturbed device, on a device that answers from a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lut.caveats import state
from lut.predictor import profile
from lut.predictor.kernels.fit import Fitted
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.model import KernelModel
from lut.predictor.kernels.network import Overhead
from lut.predictor.latency_predictor import load
from lut.predictor.profile_rows import measuring_s
from profilers import Timing, read_rows
from profilers.rows import append_rows
from targets import load_target
from targets.errors import TargetError, UsageError
from tests.support.logs import silent

HOST = load_target("host")


@dataclass
class Device:
    """A device that takes `each_s` for a network, and keeps rows in the job's folder."""

    each_s: float
    half_split: float = 0.01
    measured: list[str] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    now_s: float = 0.0

    def run_rows(
        self, target: Any, models: dict[str, bytes], timing: Timing, *_: Any, folder: Path, **more: Any
    ) -> Any:
        rows = folder / "rows.jsonl"
        known = [row["key"] for row in read_rows(rows)]
        assert set(known) <= models.keys()  # else the job refuses rows of models that it has not
        new = [key for key in models if key not in known]
        new = new[: int(timing.seconds / self.each_s + 1e-9)]
        self.now_s += len(new) * self.each_s
        self.measured += new
        self.calls.append(len(new))
        folder.mkdir(parents=True, exist_ok=True)
        append_rows(rows, [{"key": key, "kind": "time", "pass": 0, "clock": "cpu"} for key in new])
        return read_rows(rows)

    def labelled(self, rows: list[dict[str, Any]]) -> dict[str, Labelled]:
        return {r["key"]: Labelled(r["key"], [], [], np.ones(1), 1.0, self.half_split, 12) for r in rows}


@dataclass
class Network:
    key: str

    def onnx(self) -> bytes:
        return self.key.encode()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def fitted(networks: list[Labelled], seed: int) -> Fitted:
        model = KernelModel(rooflines={}, trees={}, counts={}, spread={})
        return Fitted(model, Overhead(1.0, 0.0, 0.02), (1.0, 1.0, 1.0), {"networks": len(networks)})

    monkeypatch.setattr(profile, "sequence", lambda seed: (Network(f"n{i}") for i in count()))
    monkeypatch.setattr(profile, "as_run", lambda data, target: data)
    monkeypatch.setattr(profile, "fit_networks", fitted)
    monkeypatch.setattr(profile, "learn_rule", lambda pairs: SimpleNamespace(to_json=dict))

    def of(device: Device, **options: Any) -> Any:
        monkeypatch.setattr(profile, "run_rows", device.run_rows)
        monkeypatch.setattr(profile, "labelled", device.labelled)
        given: dict[str, Any] = {"minutes": 1.0, "home": tmp_path, "seed": 0, "log": silent, **options}
        return profile.profile_device(HOST, now=lambda: device.now_s, **given)

    return of


def test_a_profile_that_lacks_networks_is_partial_and_goes_on(make, tmp_path) -> None:
    device, said = Device(each_s=1.0), list[str]()
    first = make(device, log=said.append)
    n = profile.NETWORKS_PER_MINUTE
    # 12 in 12 s tell that one takes 1 s; then 60 % of what the rest of 54 s suffices for, at a time.
    assert device.calls[:4] == [12, 25, 10, 4] and device.now_s <= 54
    known = sum(device.calls)
    assert 50 <= known <= 54
    assert state(first.errors) == f"partial: {known} of {n} networks"
    assert said[-1].startswith(f"partial: {known} of {n} networks were measured")
    folder = profile.predictor_folder(tmp_path, HOST, first.context.hash)
    assert state(load(folder).errors) == f"partial: {known} of {n} networks"
    second = make(device)
    assert state(second.errors) == "ok"
    assert sorted(device.measured) == sorted(f"n{i}" for i in range(n))  # none of them twice
    assert not list(folder.glob("job-*"))


def test_the_making_of_networks_shows_how_far_it_is(make) -> None:
    steps = dict[str, int]()

    class Bar:
        def __init__(self, name: str) -> None:
            self.name = name

        def advance(self) -> None:
            steps[self.name] = steps.get(self.name, 0) + 1

    totals = dict[str, int]()

    @contextmanager
    def progress(name: str, total: int, *, limit_s: float | None = None) -> Iterator[Bar]:
        totals[name] = total
        yield Bar(name)

    make(Device(each_s=0.1), progress=progress)
    assert steps == totals == {"make networks": profile.NETWORKS_PER_MINUTE}


def test_a_disturbed_profile_is_refused_and_made_of_the_same_rows_where_noise_is_accepted(make) -> None:
    device = Device(each_s=0.001, half_split=0.2)
    for _ in range(2):
        with pytest.raises(TargetError, match=r"differ by 20 %.*--accept-noise"):
            make(device)
    n = profile.NETWORKS_PER_MINUTE
    assert len(device.measured) == 2 * n  # the second does not go on with rows that were refused
    predictor = make(device, accept_noise=True)
    assert len(device.measured) == 2 * n
    assert state(predictor.errors) == "noisy"
    assert "differ by 20 %" in predictor.errors["noise"]


def test_a_busy_device_measures_fewer_networks_and_keeps_the_limit(make) -> None:
    device = Device(each_s=3.0)
    assert make(device).errors["networks_measured"] == 18 == len(device.measured)
    assert device.now_s <= 54


def test_a_fuller_profile_is_not_replaced_by_one_of_fewer_networks(make, tmp_path) -> None:
    fast = Device(each_s=0.001)
    full = make(fast, minutes=2.0)
    n = full.errors["networks_measured"]
    with pytest.raises(UsageError, match=rf"from {n} networks is stored in .*give --minutes 2 to measure"):
        make(fast)
    said = list[str]()
    kept = make(Device(each_s=3.0), minutes=2.0, log=said.append)
    assert kept.errors["networks_measured"] == n
    assert f"the stored predictor knows {n} networks and stays" in said[-1]


def test_the_fit_has_its_share_of_the_time() -> None:
    assert measuring_s(5.0) == 270.0
    assert measuring_s(0.1) == 3.0
