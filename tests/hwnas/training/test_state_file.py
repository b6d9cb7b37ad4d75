"""Weights that others saved: tensors are read, and nothing that a file brings is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hwnas.training.state_file import read_state
from targets.errors import DamagedFileError, UsageError

STATE = {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.ones(2)}


class Malicious:
    """Its pickle makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
@pytest.mark.parametrize("wrap", [False, True])
def test_a_state_dict_is_read(name: str, wrap: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(STATE, path)
    else:
        wrapped = {"state_dict": {f"module.{k}": v for k, v in STATE.items()}, "epoch": 3}
        torch.save(wrapped if wrap else STATE, path)
    read = read_state(path)
    assert read.keys() == STATE.keys() and all(torch.equal(read[k], STATE[k]) for k in STATE)


def test_what_would_run_code_is_refused_unopened(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(Malicious(trace)))
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    for name in ("bad.pt", "whole.pt"):
        with pytest.raises(DamagedFileError, match=r"no plain state_dict: .*safetensors"):
            read_state(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("w.txt", b"", UsageError),
        ("w.safetensors", b"none", DamagedFileError),
        ("w.pt", b"none", DamagedFileError),
    ],
)
def test_other_files_are_told(name: str, content: bytes, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_state(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        read_state(tmp_path / name)


def test_a_file_without_tensors_is_told(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(DamagedFileError, match="names of tensors were expected"):
        read_state(tmp_path / "w.pt")
