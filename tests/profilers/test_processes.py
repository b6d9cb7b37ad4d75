"""Whose processes kept the machine busy, from counts that can be reckoned by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from profilers.processes import Process, busiest, processes


def test_shares_by_hand() -> None:
    # 10 s: one compiler took 4 s, another 5 s since it began, a shell 0.2 s; the rest is ours.
    before = {1: Process("init", 0, 9.0), 7: Process("cc1", 1, 3.0), 8: Process("sh", 1, 0.0)}
    after = {
        1: Process("init", 0, 9.0),
        7: Process("cc1", 1, 7.0),
        9: Process("cc1", 8, 5.0),
        8: Process("sh", 1, 0.2),
        20: Process("python", 1, 30.0),
        21: Process("python", 20, 9.0),
    }
    assert busiest(before, after, 10.0, 20) == {"cc1": pytest.approx(0.9)}


def test_parents_that_lead_in_a_circle_are_of_others() -> None:
    after = {5: Process("a", 6, 5.0), 6: Process("b", 5, 2.0)}
    assert busiest({}, after, 10.0, 1) == {"a": 0.5, "b": 0.2}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_this_process_and_what_it_started_are_listed() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        found = processes()
        child.kill()
    assert found[child.pid].parent == os.getpid()
    assert found[os.getpid()].cpu_s > 0


def test_names_with_spaces_and_brackets_are_read(tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()
    numbers = " ".join(["0"] * 9 + ["150", "50"])
    (tmp_path / "12/stat").write_text(f"12 (a (b) c) S 3 {numbers}")
    (tmp_path / "13").mkdir()
    (tmp_path / "13/stat").write_text("torn")
    (process,) = processes(tmp_path).values()
    assert process == Process("a (b) c", 3, 200 / os.sysconf("SC_CLK_TCK"))
