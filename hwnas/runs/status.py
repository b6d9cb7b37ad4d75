"""Where a run stands, read from its files alone, without its lock and without torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .checkpoints import Checkpoints
from .front_file import BEST
from .identity import GRADIENT_SEARCH, SEARCH, TRAINING, read_identity
from .lock import holder_of
from .stages import StageRecords
from .under_way import StageName, UnderWay, read_under_way

_LAST = {SEARCH: "report", GRADIENT_SEARCH: "search", TRAINING: "export"}
"""The last stage of runs that did not write down what they go through."""

RUNNING, STOPPED, DONE = "running", "stopped", "done"


def run_status(path: Path, now: float | None = None) -> dict[str, Any]:
    """What `hwnas status` prints: every stage, how far the one under way is, who works in the run, what next.

    now: seconds since 1970.
    """
    identity = read_identity(path)
    finished = StageRecords(path).finished()
    steps = Checkpoints(path / "checkpoints", lambda text: None).steps()
    under_way = read_under_way(path) or UnderWay()
    holder = holder_of(path)
    known = {stage.name: stage for stage in under_way.stages}
    known |= {name: StageName(name=name, does="") for name in (*finished, *steps) if name not in known}
    current = under_way.stage if under_way.stage not in finished else None
    last = under_way.stages[-1].name if under_way.stages else _LAST.get(identity.kind)
    is_done = last in finished
    state = RUNNING if holder else DONE if is_done else STOPPED
    return {
        "run": str(path),
        "kind": identity.kind,
        "state": state,
        "in_use_by": holder,
        "stages": [_stage(stage, finished, current) for stage in known.values()],
        "under_way": None if current is None else _current(known[current], under_way, holder, now, steps),
        "models": sorted(
            file.parent.name for file in path.glob("models/*/manifest.json") if file.parent.name != BEST
        ),
        "report": str(path / "report.html") if (path / "report.html").is_file() else None,
        "next": _next(path, identity.kind, state),
        "config": dict(identity.values),
    }


def _stage(stage: StageName, finished: Mapping[str, str], current: str | None) -> dict[str, Any]:
    state = "done" if stage.name in finished else "under way" if stage.name == current else "to do"
    return {"name": stage.name, "does": stage.does, "state": state, "finished": finished.get(stage.name)}


def _current(
    stage: StageName, known: UnderWay, holder: str | None, now: float | None, steps: Mapping[str, int]
) -> dict[str, Any]:
    """How far the stage is, or was when the run stopped."""
    seconds = (time.time() if now is None else now) if holder else known.written
    since = seconds - known.written
    return {
        "stage": stage.name,
        "does": stage.does,
        "number": [other.name for other in known.stages].index(stage.name) + 1,
        "of": len(known.stages),
        "part": known.part,
        "done": known.done,
        "total": known.total,
        "share": known.done / known.total if known.total else None,
        "elapsed_s": max(seconds - known.began, 0.0),
        "left_s": None if known.left_s is None else max(known.left_s - since, 0.0),
        "saved_step": steps.get(stage.name),
    }


def _next(path: Path, kind: str, state: str) -> str:
    """What to do now."""
    if state == RUNNING:
        return "wait; Ctrl-C there keeps what is done"
    if state == DONE:
        shown = path / "report.html"
        return f"open {shown}" if shown.is_file() else "nothing: all of it is done"
    if kind == SEARCH:
        return f"go on with: hwnas search --resume {path}"
    return "go on with the command or the call that began it: it finds this folder again"
