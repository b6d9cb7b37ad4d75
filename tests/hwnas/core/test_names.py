"""The light tables of names: each is that of what it stands for."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from hwnas.core.names import NAMES, require_name
from targets.errors import UsageError


@pytest.mark.parametrize("kind", NAMES)
def test_the_names_are_those_of_the_table(kind: str) -> None:
    module, _, attribute = NAMES[kind].table.partition(":")
    importlib.import_module(module.rpartition(".")[0])  # a folder fills its table when it is imported
    assert set(NAMES[kind].known) == set(getattr(importlib.import_module(module), attribute))


def test_what_is_added_to_a_table_is_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import hwnas.spaces

    assert NAMES["space"].fault("of-my-own") is not None
    monkeypatch.setitem(hwnas.spaces.SPACES, "of-my-own", hwnas.spaces.SPACES["darts"])
    assert NAMES["space"].fault("of-my-own") is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [("space", "darts_space"), ("space", "own.toml"), ("objective", "latency_ms@pi"), ("data", "digits")],
)
def test_other_spellings_are_read(kind: str, text: str, tmp_path: Path) -> None:
    require_name(kind, text)
    require_name("data", str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("space", "mobil", "unknown space 'mobil'; known: darts, .*mean 'mobile'.*, or a TOML file"),
        ("data", "cifr10", "data 'cifr10' is neither a known data set nor .*mean 'cifar10'"),
        ("data", "x" * 5000, "is neither a known data set"),
        ("data", "a\0b", "is neither a known data set"),
    ],
)
def test_a_wrong_name_lists_the_choices(kind: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        require_name(kind, text)
