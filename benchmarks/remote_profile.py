"""A profile over ssh beside a local one, and one whose connection is cut at five random moments.

python -m benchmarks.remote_profile [--rounds 100] [--json FILE]

This machine is the device too, behind an ssh server on the loopback (needs openssh-server). Local and ssh
runs take turns. The difference of two runs of the same kind is the noise floor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from lut.devices.device import run_rows
from lut.devices.python_device import PythonDevice
from lut.devices.reference_networks import reference_onnx
from profilers import Timing, read_rows, write_job
from profilers.rows import identity
from profilers.run import wanted_rows
from profilers.settle import settle
from targets import Target, load_target
from tests.support.loopback import Line, Server, loopback_server

N_NETWORKS, N_CUTS = 8, 5
MOMENTS = 200, 9_000
"""Bytes from the device between two cuts: from a handshake that never ends to a few rows."""


def chain(n_layers: int, channels: int, size: int = 14) -> bytes:
    """Convolutions of 3x3, one after the other."""
    rng = np.random.default_rng(n_layers)
    weights = [
        rng.standard_normal((channels, channels, 3, 3)).astype(np.float32) / 9 for _ in range(n_layers)
    ]
    nodes = [
        helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], pads=[1] * 4) for i in range(n_layers)
    ]
    shape = [1, channels, size, size]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{n_layers}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def silent(text: str) -> None:
    """Keep a message to itself."""


def ratios(target: Target, models: Mapping[str, bytes], timing: Timing) -> np.ndarray[Any, Any]:
    """(n,) times as ratios to the reference network, in the order of the models."""
    rows = {
        row["key"]: row["p20_ms"] / row["reference_p20_ms"]
        for row in settle(run_rows(target, models, timing, silent))
    }
    return np.array([rows[key] for key in models])


def difference_pct(pairs: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]) -> float:
    """Median of |a / b - 1| over networks and pairs, in percent."""
    return float(100 * np.median([np.abs(a / b - 1) for a, b in pairs]))


def equality(board: Target, models: Mapping[str, bytes], timing: Timing) -> dict[str, float]:
    """Differences between runs of the same kind and of different kinds."""
    host = load_target("host")
    local, ssh = [], []
    for _ in range(3):
        local.append(ratios(host, models, timing))
        ssh.append(ratios(board, models, timing))
    return {
        "local_local_pct": difference_pct(list(itertools.combinations(local, 2))),
        "ssh_ssh_pct": difference_pct(list(itertools.combinations(ssh, 2))),
        "local_ssh_pct": difference_pct(list(itertools.product(local, ssh))),
    }


class KeepingDevice(PythonDevice):
    """A device that keeps finished jobs, so that the rows measured there can be read."""

    def ask(self, *command: str, stdin: bytes = b"", timeout_s: float | None = None) -> Any:
        return None if command[0] == "drop" else super().ask(*command, stdin=stdin, timeout_s=timeout_s)


def cuts(server: Server, board: Target, models: Mapping[str, bytes], folder: Path) -> dict[str, int]:
    """A job of one model per group, its connection cut five times: the rows on both sides.

    rows_measured_twice: rows of the same model in the file of the device, which is only appended to.
    rows_different: rows here that differ in any number from those of the device.
    """
    rng, line = random.Random(0), Line(server)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        line.limit = rng.randrange(*MOMENTS) if len(pauses) < N_CUTS else None

    device = KeepingDevice(replace(board, reach=server.reach(folder / "cut", line.port)), silent, pause)
    device.facts()
    timing = Timing(60.0, min_rounds=20, max_rounds=20, together=1)
    job = write_job(folder / "job", load_target("host"), models, reference_onnx(), timing)
    line.limit = rng.randrange(*MOMENTS)
    device.measure(job, lambda: None)
    line.close()
    (kept,) = (folder / "cut" / "jobs").glob("*/rows.jsonl")
    measured = [json.loads(text) for text in kept.read_text(encoding="utf-8").splitlines()]
    there = {identity(row): row for row in measured}
    here = {identity(row): row for row in read_rows(job.rows_path)}
    return {
        "cuts": line.n_cuts,
        "rows_wanted": sum(len(group) for group in wanted_rows(job)),
        "rows_whole": len(here),
        "rows_measured_twice": len(measured) - len(there),
        "rows_different": sum(there.get(of) != row for of, row in here.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    models = {f"{n} layers": chain(n, 16) for n in range(2, 2 + N_NETWORKS)}
    timing = Timing(120.0, min_rounds=options.rounds, max_rounds=options.rounds)
    with tempfile.TemporaryDirectory() as name, loopback_server(Path(name)) as server:
        board = replace(load_target("host"), name="loopback", reach=server.reach(Path(name) / "board"))
        found = {**equality(board, models, timing), **cuts(server, board, models, Path(name))}
    for key, value in found.items():
        print(f"{key:20} {value:8.2f}" if isinstance(value, float) else f"{key:20} {value:8d}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
