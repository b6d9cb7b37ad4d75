"""Before a search trains anything its board is asked, through a real ssh server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.pipeline import ready
from hwnas.pipeline.latency_tables import TargetDevice
from hwnas.pipeline.ready import require_ready
from targets import Target
from targets.errors import TargetError
from tests.support.homes import write_space_table
from tests.support.loopback import Line, free_port


def asked(target: Target, home: Path) -> list[str]:
    warnings: list[str] = []
    require_ready([TargetDevice("board", target)], home, warnings.append)
    return warnings


def test_a_board_that_answers_and_has_all_is_ready(board: Target, tmp_path: Path) -> None:
    assert asked(board, tmp_path) == []


def test_a_board_that_is_off_is_refused_with_what_to_do(board: Target, tmp_path: Path) -> None:
    off = replace(board, reach=replace(board.reach, port=free_port()))
    with pytest.raises(TargetError) as refusal:
        asked(off, tmp_path)
    told = str(refusal.value)
    assert told.startswith("target board: ") and "cannot be reached" in told and "Connection refused" in told
    assert "`hwnas targets check board`" in told and "`hwnas tables import`" in told


def test_a_board_without_the_program_is_refused(board: Target, tmp_path: Path) -> None:
    bare = replace(board, reach=replace(board.reach, python="/nowhere/python3"))
    with pytest.raises(TargetError, match="there is no Python at '/nowhere/python3'"):
        asked(bare, tmp_path)


def test_a_board_that_hangs_costs_the_time_limit_and_no_more(
    board: Target, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "ASK_S", 0.5)
    line.limit, line.silent = 0, True
    hanging = replace(board, reach=replace(board.reach, port=line.port, connect_timeout_s=60))
    with pytest.raises(TargetError, match="target board"):
        asked(hanging, tmp_path)


def test_with_stored_tables_the_search_goes_on_and_says_so(board: Target, tmp_path: Path) -> None:
    write_space_table(tmp_path, "board", {"exporter": "x"}, "space", {"block": (0.1, 4.0)})
    off = replace(board, reach=replace(board.reach, port=free_port()))
    (warning,) = asked(off, tmp_path)
    assert "Its stored tables count instead" in warning


def test_this_machine_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from targets import load_target

    monkeypatch.setattr(ready, "check_needs", lambda *_, **__: pytest.fail("asked"))
    assert asked(load_target("host"), tmp_path) == []
