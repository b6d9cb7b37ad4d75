"""The main job in a space small enough for a minute, as a process of its own or in this one.

A start of the command line takes four seconds of CPU time, one of a training process half as many, most of
them for imports. What is not about processes runs here.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import profilers
from hwnas.executors.task import (
    Done,
    ExecutorTask,
    Failed,
    OnProgress,
    Progress,
    RefusedError,
    TaskContext,
    TaskOutcome,
    work_of,
)
from targets.errors import HwnasError

STAGES = """
operations = ["mb3e3", "mb5e6-se-hs", "fused3e3"]
[stem]
channels = 16
stride = 2
[head]
channels = 32
[[stages]]
widths = [16, 32]
depth = 5
stride = 2
[[stages]]
widths = [32, 48]
depth = 5
stride = 1
"""
"""A space of the kind of `mobile` with several choices per stage, as TOML."""

Patch = Callable[[Any, str, Any], None]
"""`setattr`, or that of a monkeypatch."""


def hurry(setattr: Patch = builtins.setattr) -> None:
    """A device is measured by four samples of each network, and that they are noisy is no reason to refuse.

    How exact a table is, and which one is refused, is for `tests/lut`.
    """
    import lut.measure_files
    import lut.tables.block_level

    def few_samples(seconds: float, **options: Any) -> profilers.Timing:
        return profilers.Timing(seconds, **{**options, "min_rounds": 4, "max_rounds": 4})

    for module in (lut.measure_files, lut.tables.block_level):
        setattr(module, "Timing", few_samples)
    setattr(lut.tables.block_level, "check_steady", lambda *_: None)


def stand_in(setattr: Patch = builtins.setattr) -> None:
    """A device on which every block costs 0.1 ms and every network 1 ms; one width of each baseline."""
    import hwnas.pipeline.main_job.baselines
    import lut

    errors = dict.fromkeys(("mape_pct", "within_5_pct", "noise_floor_pct", "macs_line_mape_pct"), 0.0)
    facts: dict[str, Any] = {}
    table = SimpleNamespace(
        context=SimpleNamespace(hash="none", facts=facts, to_json=lambda: {"hash": "none", "facts": facts}),
        intercept_ms=0.0,
        slope=1.0,
        square_ms_per_mb2=0.0,
        latency_ms=lambda key: 0.1,
        weight_mb=lambda key: 0.0,
        errors=errors,
        margin=0.05,
    )
    row = lut.Measurement(1.0, 1.0, 1.0, 1.0, 1.0, "wall", "ok", 30)
    setattr(lut, "space_table", lambda *_, **__: table)
    setattr(lut, "measure", lambda target, files, **_: dict.fromkeys(files, row))
    setattr(hwnas.pipeline.main_job.baselines, "WIDTHS", (0.25,))  # of thirteen


STAND_IN = "from tests.support.main_jobs import stand_in\nstand_in()\n"
"""In front of the command line, in a program for `python -c`: the device is `stand_in`."""

LAUNCH = "from tests.support.main_jobs import hurry\nhurry()\nimport cli\ncli.main()"
"""The command line as a program for `python -c`; its words follow."""


class Within:
    """In place of a child process: its tasks are done in a thread of this process, one at a time.

    Torch's generator is one for all threads.
    """

    _turn = threading.Lock()

    def __init__(self, card: int | None = None) -> None:
        self.card, self.busy = card, False
        self.process = SimpleNamespace(poll=lambda: None, kill=lambda: None)

    def do(self, task: ExecutorTask, on_progress: OnProgress, place: Mapping[str, Any]) -> TaskOutcome:
        """As `Child.do`, JSON in and files out; a bug is raised."""
        document = json.loads(json.dumps(task.document, allow_nan=False))
        context = TaskContext(
            place=place,
            on_step=lambda done, total: on_progress(Progress(task.name, done / total, os.getpid())),
            log=lambda text: print(text, file=sys.stderr),
        )
        try:
            with self._turn:
                work_of(task.kind)(document, task.folder.resolve(), context)
        except RefusedError:
            raise
        except HwnasError as error:
            return Failed(str(error))
        return Done()

    def close(self) -> None:
        """Nothing was started."""


class Answer(NamedTuple):
    """What a command printed, and what it said beside."""

    stdout: str
    stderr: str


def run_here(folder: Path, *words: str, code: int = 0, device: Callable[[Patch], None] = stand_in) -> Answer:
    """One command in this process and in `folder`, with the data home `folder`/home; it ends with `code`.

    words: of the command; there may be several in a string.
    """
    import pytest
    import torch

    import cli

    out, err = io.StringIO(), io.StringIO()
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("HWNAS_HOME", str(folder / "home"))
        patch.setattr("hwnas.executors.local.Child", Within)
        device(patch.setattr)
        ended = cli.run(" ".join(words).split())
    torch.set_num_threads(threads)
    assert ended == code, err.getvalue()
    return Answer(out.getvalue(), err.getvalue())
