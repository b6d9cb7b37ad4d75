"""The adapter to pt.darts, where there is no check-out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import pt_darts
from targets.errors import UsageError


def test_a_folder_that_is_no_check_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no architect\.py; give a check-out"):
        pt_darts.steps(tmp_path, lambda i: pytest.fail("no batch is needed"), 8, 5)
