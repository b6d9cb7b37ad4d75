"""The device that a name means here."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hwnas.runs import training_device
from hwnas.runs.training_device import found_device, on_found_device, require_cards
from targets.errors import TargetError, UsageError


def machine(monkeypatch: pytest.MonkeyPatch, cards: int) -> None:
    monkeypatch.setattr(training_device, "has_driver", lambda: True)
    monkeypatch.setattr(training_device, "n_cards", lambda: cards)


@pytest.mark.parametrize(
    ("name", "cards", "found"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_auto_is_cuda_where_it_is(name: str, cards: int, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cards)
    assert found_device(name) == found


def test_without_a_driver_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_device, "has_driver", lambda: False)
    monkeypatch.setattr(training_device, "n_cards", lambda: 1 / 0)
    assert found_device("auto") == "cpu"


@pytest.mark.parametrize(
    ("name", "cards", "error", "message"),
    [
        ("gpu", 1, UsageError, "unknown device 'gpu'"),
        ("cuda", 0, TargetError, "finds no CUDA device here; leave it away"),
        ("cuda:2", 2, TargetError, "finds 2 CUDA devices here, cuda:0 to cuda:1"),
    ],
)
def test_a_device_that_is_not_here_is_refused(
    name: str, cards: int, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cards)
    with pytest.raises(error, match=message):
        found_device(name)


def test_several_processes_need_as_many_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2)
    require_cards("cuda", 2)
    require_cards("cpu", None)
    with pytest.raises(TargetError, match="finds 2 CUDA devices here; give at most as many"):
        require_cards("cuda", 3)
    with pytest.raises(UsageError, match="needs --device cuda"):
        require_cards("cuda:1", 2)


@dataclass(frozen=True)
class Options:
    device: str
    steps: int = 3


def test_options_get_the_device_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 1)
    assert on_found_device(Options("auto")) == Options("cuda")
    same = Options("cpu")
    assert on_found_device(same) is same
