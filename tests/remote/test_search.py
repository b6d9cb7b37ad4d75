"""One search for this machine and a board behind ssh: a table of each, every network measured on both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.support.loopback import Server
from tests.support.main_jobs import LAUNCH, STAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_a_board_behind_ssh_is_searched_for_beside_this_machine(sshd: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(STAGES)
    reach = sshd.reach(tmp_path / "board")
    lines = [f"{k} = {getattr(reach, k)!r}" for k in ("host", "port", "identity", "known_hosts", "python")]
    host = (ROOT / "targets" / "known" / "host.toml").read_text().partition("[reach]")[0]
    (tmp_path / "pi.toml").write_text(
        "\n".join(
            [
                host.replace('"host"', '"pi"'),
                "[reach]",
                'transport = "ssh"',
                *lines,
                f"folder = '{reach.folder}'",
                "",
            ]
        )
    )
    words = "--data digits --image-size 16 --target host --target pi.toml --space tiny.toml"
    words += " --budget latency_ms@host<=5000 --budget latency_ms@pi<=4000 --profile-minutes 3"
    words += " --objective val_accuracy --objective latency_ratio --prefer latency"
    words += " --evaluations 3 --eval-epochs 1 --train-epochs 1 --picks 2 --random-baselines 0"
    words += " --workers 2 --home home --out run"
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, "search", *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    assert [(t["name"], t["metric"], t["measured"]) for t in front["targets"]] == [
        ("host", "latency_ms", True),
        ("pi", "latency_ms@pi", True),
    ]
    assert front["objectives"] == ["val_accuracy", "latency_ratio"]
    rows = pd.read_csv(tmp_path / "run" / "front.csv")
    trained = rows[rows["measured_test_accuracy"].notna()]
    assert len(trained) >= 1 and trained["reason"].notna().all()
    assert (rows["measured_latency_p50_ms@pi"] > 0).all() and set(rows["measured_clock@pi"]) != {"predicted"}
    # Of what was trained the one that uses least of its tightest budget is chosen, by the tables.
    ratio = pd.concat(
        [trained["predicted_latency_ms"] / 5000, trained["predicted_latency_ms@pi"] / 4000], axis=1
    )
    least = int(ratio.max(axis=1).to_numpy().argmin())
    assert front["chosen"] == trained["arch_id"].iloc[least]
    assert f"{trained['arch_id'].iloc[0]}: " in done.stdout and "Why these:" in done.stdout
    asked = json.loads((tmp_path / "run" / "evaluated.json").read_text())["rows"]
    assert all(
        row["metrics"]["latency_ratio"]
        == max(row["metrics"]["latency_ms"] / 5000, row["metrics"]["latency_ms@pi"] / 4000)
        for row in asked
    )
