"""Where a run stands, read from its files alone, without its lock and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .checkpoints import Checkpoints
from .identity import read_identity
from .lock import holder_of
from .stages import StageRecords


def run_status(path: Path) -> dict[str, Any]:
    """What `hwnas status` prints: stages done, steps of those under way, who works in the run now."""
    identity = read_identity(path)
    done = StageRecords(path).finished()
    steps = Checkpoints(path / "checkpoints", lambda text: None).steps()
    return {
        "run": str(path),
        "config": dict(identity.values),
        "in_use_by": holder_of(path),
        "stages_done": done,
        "checkpoint_steps": {stage: step for stage, step in steps.items() if stage not in done},
        "models": sorted(file.parent.name for file in path.glob("models/*/manifest.json")),
        "report": str(path / "report.html") if (path / "report.html").is_file() else None,
    }
