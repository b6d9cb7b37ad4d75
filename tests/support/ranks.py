"""The processes of a training that `torchrun` has started."""

from __future__ import annotations

from pathlib import Path


def rank_pids(folder: Path) -> list[int]:
    """Of the training in `folder`; torchrun, which has the same words, is none of them."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_text().split("\0") if process.name.isdigit() else []
        except OSError:
            continue
        if str(folder) in words and "torch.distributed.run" not in words:
            found.append(int(process.name))
    return found
