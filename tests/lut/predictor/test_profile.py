"""Profiles that were cut short, and those of a disturbed device, on a device that answers from a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lut.caveats import state
from lut.predictor import profile
from lut.predictor.kernels.fit import Fitted
from lut.predictor.kernels.labels import Labelled
from lut.predictor.kernels.network import Overhead
from lut.predictor.kernels.regress import KernelModel
from lut.predictor.latency_predictor import load
from targets import load_target
from targets.errors import TargetError
from tests.support.logs import silent

HOST = load_target("host")


@dataclass
class Device:
    """A device that has time for so many more networks at each call, and keeps rows in the job's folder."""

    time_for: int
    half_split: float = 0.01
    measured: list[str] = field(default_factory=list)

    def run_rows(self, target: Any, models: dict[str, bytes], *rest: Any, folder: Path, **more: Any) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        rows = folder / "rows"
        known = rows.read_text().split() if rows.exists() else []
        new = [key for key in models if key not in known][: self.time_for]
        self.measured += new
        rows.write_text(" ".join([*known, *new]))
        return [{"key": key, "kind": "time", "clock": "cpu"} for key in [*known, *new]]

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

    monkeypatch.setattr(profile, "generate", lambda n, seed: [Network(f"n{i}") for i in range(n)])
    monkeypatch.setattr(profile, "as_run", lambda data, target: data)
    monkeypatch.setattr(profile, "fit_networks", fitted)
    monkeypatch.setattr(profile, "learn_rule", lambda pairs: SimpleNamespace(to_json=dict))

    def of(device: Device, **options: Any) -> Any:
        monkeypatch.setattr(profile, "run_rows", device.run_rows)
        monkeypatch.setattr(profile, "labelled", device.labelled)
        given: dict[str, Any] = {"minutes": 1.0, "home": tmp_path, "seed": 0, "log": silent, **options}
        return profile.profile_device(HOST, **given)

    return of


def test_a_profile_that_lacks_networks_is_partial_and_goes_on(make, tmp_path) -> None:
    device, said = Device(time_for=40), list[str]()
    first = make(device, log=said.append)
    n = profile.NETWORKS_PER_MINUTE
    assert state(first.errors) == f"partial: 40 of {n} networks"
    assert said[-1].startswith(f"partial: 40 of {n} networks were measured")
    folder = profile.predictor_folder(tmp_path, HOST, first.context.hash)
    assert state(load(folder).errors) == f"partial: 40 of {n} networks"
    second = make(device)
    assert state(second.errors) == "ok"
    assert sorted(device.measured) == sorted(f"n{i}" for i in range(n))  # none of them twice
    assert not list(folder.glob("job-*"))


def test_a_disturbed_profile_is_refused_and_made_of_the_same_rows_where_noise_is_accepted(make) -> None:
    device = Device(time_for=1000, half_split=0.2)
    for _ in range(2):
        with pytest.raises(TargetError, match=r"differ by 20 %.*--accept-noise"):
            make(device)
    n = profile.NETWORKS_PER_MINUTE
    assert len(device.measured) == 2 * n  # the second does not go on with rows that were refused
    predictor = make(device, accept_noise=True)
    assert len(device.measured) == 2 * n
    assert state(predictor.errors) == "noisy"
    assert "differ by 20 %" in predictor.errors["noise"]
