"""A search on a Dask cluster of this machine whose parts are killed (`kill -9`) at random moments.

    python -m benchmarks.kills [--kills 20] [--seed 0] [--evaluations 24] [--pause 4 12] [--minutes 60]
                               [--json FILE]

The search is made once in peace and once with kills of a worker, of the scheduler, or of `hwnas search`
itself; what was killed is started again, and the search goes on by --resume. Then: every training that once
had a result has the same (nothing lost, nothing trained twice), and the front is that of the search in peace.
Victims are drawn from the seed, and moments: some seconds after the kill before, or, every second time, some
seconds after the search has a training more. A search that ends before the kills do met fewer, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import hwnas
from hwnas.runs.front_file import front_points, read_front
from tests.support.certificates import make_certificates
from tests.support.loopback import free_port

ROOT = Path(hwnas.__file__).parents[1]
WORKERS = 2
SPACE = """
operations = ["mb3e3", "mb5e3", "fused3e3"]
[stem]
channels = 8
stride = 2
[head]
channels = 16
[[stages]]
widths = [16, 32]
depth = 4
stride = 2
[[stages]]
widths = [32, 48]
depth = 4
stride = 1
"""
VICTIMS = ("worker", "scheduler", "client")
_TICK_S = 0.2


class Grid:
    """A scheduler and its workers, each a process of its own, with TLS."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        tls = make_certificates(folder / "tls")
        self._tls = [f for k in ("ca", "cert", "key") for f in (f"--tls-{k}" + "-file" * (k == "ca"), tls[k])]
        self.file = folder / "cluster.toml"
        named = "\n".join(f'{name} = "{path}"' for name, path in tls.items())
        self.file.write_text(f'address = "tls://127.0.0.1:{self._port}"\nwait_s = 600\n[tls]\n{named}\n')
        self.start()

    def start(self) -> None:
        """All of them."""
        where = ["--host", "127.0.0.1", "--port", str(self._port), "--protocol", "tls"]
        self.scheduler = self._process("dask_scheduler", *where)
        self.workers = [self._worker() for _ in range(WORKERS)]

    def kill(self, victim: str, rng: np.random.Generator) -> None:
        """A worker is replaced; without a scheduler all begin anew."""
        if victim == "worker":
            place = int(rng.integers(WORKERS))
            _kill(self.workers[place])
            self.workers[place] = self._worker()
        else:
            _kill(self.scheduler)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            _kill(process)

    def _worker(self) -> subprocess.Popen[bytes]:
        address = f"tls://127.0.0.1:{self._port}"
        return self._process("dask_worker", address, "--nthreads", "1", "--no-nanny", "--memory-limit", "0")

    def _process(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words, *self._tls, "--no-dashboard"]
        return _start(command, self._folder)


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


def search(folder: Path, name: str, more: list[str], *, resume: bool = False) -> subprocess.Popen[bytes]:
    """`hwnas search` in a process of its own, by accuracy and MACs alone: no clock decides anything."""
    run = folder / name
    if resume and run.exists():
        words = ["--resume", str(run), *more]
    else:
        words = ["--data", "digits", "--image-size", "16", "--space", "space.toml", "--out", str(run), *more]
        words += ["--objective", "val_accuracy", "--objective", "macs", "--eval-epochs", "2"]
        words += ["--train-epochs", "2", "--picks", "2", "--random-baselines", "0"]
        words += ["--population", "4"]  # else a generation is as large as the cluster, which kills change
    words += ["--home", str(folder / f"home-{name}")]
    return _start([sys.executable, "-m", "cli", "search", *words], folder)


def results(run: Path) -> dict[str, int]:
    """Every training with a result -> when that was written."""
    return {
        str(path.parent.relative_to(run)): path.stat().st_mtime_ns for path in run.glob("*/*/result.json")
    }


def findings(run: Path) -> tuple[list[Any], list[Any]]:
    """Every evaluation of a search, and the networks of its front and its picks, each with its accuracy."""
    rows = json.loads((run / "evaluated.json").read_text())["rows"]
    evaluated = sorted((row["arch"], row["metrics"]["val_accuracy"]) for row in rows)
    points = [
        (p.arch_id, p.pick, (p.measured or {}).get("val_accuracy")) for p in front_points(read_front(run))
    ]
    return evaluated, points


class Watched:
    """What becomes of the results of a run: those that were lost, and those that were made again."""

    def __init__(self, run: Path) -> None:
        self._run, self.known = run, dict[str, int]()
        self.lost, self.again = set[str](), set[str]()

    def wait(self) -> None:
        """A little, and look."""
        time.sleep(_TICK_S)
        self.look()

    def look(self) -> None:
        """Compare with what was there before."""
        now = results(self._run)
        self.lost |= self.known.keys() - now.keys()
        self.again |= {name for name in self.known.keys() & now.keys() if self.known[name] != now[name]}
        self.known = now


def with_kills(folder: Path, options: argparse.Namespace, more: list[str]) -> dict[str, Any]:
    """The search under kills: what was killed, and what of its results was lost or made again."""
    rng = np.random.default_rng(options.seed)
    until_s = time.monotonic() + 60 * options.minutes
    grid, killed, resumed = Grid(folder), Counter[str](), 0
    words = [*more, "--cluster", str(grid.file)]
    client, watched = search(folder, "killed", words), Watched(folder / "killed")
    try:
        while time.monotonic() < until_s:
            victim = VICTIMS[int(rng.choice(3, p=[0.5, 0.25, 0.25]))]
            n_killed = sum(killed.values())
            if n_killed % 2 and n_killed < options.kills:  # else under load none would fall after the start
                known, patience_s = len(watched.known), time.monotonic() + options.patience
                while client.poll() is None and len(watched.known) == known and time.monotonic() < patience_s:
                    watched.wait()
            strike_s = time.monotonic() + rng.uniform(*options.pause)
            while client.poll() is None and (n_killed >= options.kills or time.monotonic() < strike_s):
                watched.wait()
            if client.poll() == 0:
                break
            if client.poll() is None:
                killed[victim] += 1
                print(f"{sum(killed.values())}: {victim}, {len(watched.known)} trainings done", flush=True)
                if victim == "client":
                    _kill(client)
                else:
                    grid.kill(victim, rng)
            if victim == "scheduler" or client.poll() is not None:
                client.wait()
                grid.stop()
                grid.start()
                client, resumed = search(folder, "killed", words, resume=True), resumed + 1
        watched.look()
    finally:
        _kill(client)
        grid.stop()
    return {
        "killed": dict(killed),
        "resumed": resumed,
        "trainings": len(watched.known),
        "lost": sorted(watched.lost),
        "trained_twice": sorted(watched.again),
        "finished": client.returncode == 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=24)
    parser.add_argument("--pause", type=float, nargs=2, default=(4.0, 12.0), help="seconds between kills")
    parser.add_argument(
        "--patience",
        type=float,
        default=180.0,
        help="most seconds that a kill waits for one training more",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="limit on the part with kills")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    more = ["--evaluations", str(options.evaluations), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory(prefix="hwnas-kills-") as text:
        folder = Path(text)
        (folder / "space.toml").write_text(SPACE)
        if (code := search(folder, "peace", [*more, "--workers", str(WORKERS)]).wait()) != 0:
            sys.exit(f"the search in peace ended with {code}: {(folder / 'log.txt').read_text()[-2000:]}")
        result = with_kills(folder, options, more)
        if not result["finished"]:
            print((folder / "log.txt").read_text()[-2000:], file=sys.stderr)
        result["same_front"] = result["finished"] and findings(folder / "killed") == findings(
            folder / "peace"
        )
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    good = result["same_front"] and not result["lost"] and not result["trained_twice"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
