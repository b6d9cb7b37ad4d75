"""A series of searches that are interrupted, go on, and must end as if nothing had happened.

    python -m benchmarks.faults FOLDER [--minutes 60] [--seed 0] [--runs N]

The series is 40 times kill -9, 10 times each of SIGINT, SIGTERM and SIGHUP, and 6 times kill -9 of the
training processes alone, over all parts of a small search, a third of them while a file is written. Each run
is interrupted eight times and then goes on to its end. Every value that no clock decides must equal that of a
run that was left alone, to the bit, and no other file may lie there. FOLDER keeps what was done: the same
command goes on. Exit code 1 where anything differed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from targets.files import read_json, write_json

from .compare import differences, values
from .moments import EXITS, KILL, STARTING, WORKER, Moment, series
from .search_process import Search, interrupt, wait_for

_END_S = 1800.0
_TRIES = 3


def main() -> int:
    """Do what of the series is left and fits, and print what came out of all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the runs and the record; it may be there already")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=1000, help="at most so many of the series")
    options = parser.parse_args()
    # Signals that are ignored here, as in the background of a shell, would be by the searches too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXITS["TERM"]))  # ends its searches first
    until, folder = time.monotonic() + 60 * options.minutes, options.folder.absolute()
    took_s = left_alone(folder)
    expected = values(folder / "whole" / "run")
    records = []
    for n, moments in enumerate(series(list(took_s), options.seed)[: options.runs]):
        path = folder / f"record-{options.seed}-{n}.json"
        if not path.exists():
            if time.monotonic() > until:
                continue
            with closing(_search(folder, f"{options.seed}-{n}")) as search:
                write_json(path, disturbed(search, moments, took_s, expected))
        records.append(read_json(path, "the record of a run"))
        print(told(n, records[-1]), file=sys.stderr, flush=True)
    return report(records)


def left_alone(folder: Path) -> Mapping[str, float]:
    """Make the table, then one run that uses it and is left alone; the seconds of its stages in order."""
    record = folder / "stages.json"
    if record.exists():
        return {str(stage): float(s) for stage, s in read_json(record, "the stages")["seconds"]}
    for name in ("first", "whole"):
        search = _search(folder, name)
        began = time.monotonic()
        with closing(search):
            process = search.start()
            while process.poll() is None and search.stage() == STARTING:
                time.sleep(0.01)
            start_s = time.monotonic() - began
            if process.wait(_END_S) != 0:
                raise SystemExit(f"the search that is left alone failed: see {search.folder / 'said.txt'}")
    spent_s = json.loads((search.out / "clock.json").read_text(encoding="utf-8"))["stages"]
    stages = [stage["name"] for stage in json.loads((search.out / "progress.json").read_text())["stages"]]
    seconds = [(STARTING, start_s), *((stage, spent_s[stage]) for stage in stages)]
    write_json(record, {"seconds": seconds})
    return dict(seconds)


def _search(folder: Path, name: str) -> Search:
    """A run of its own, with the table that the first one made; nothing else is shared."""
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir(parents=True)
    tables = folder / "first" / "home" / "tables"
    if name != "first":
        shutil.copytree(tables, folder / name / "home" / "tables")
    return Search(folder / name, folder / name / "home", folder / name / "run")


def disturbed(
    search: Search, moments: Sequence[Moment], took_s: Mapping[str, float], expected: Mapping[str, str]
) -> dict[str, Any]:
    """Interrupt a run at each of the moments, let it end, and compare."""
    faults, wrong = [], []
    process = search.start()
    for moment in moments:
        stage = wait_for(search, process, moment, took_s)
        if stage is None:
            break
        heard = len(search.said())
        outcome = interrupt(search, process, moment.how)
        faults.append({**moment.to_json(), "came_in": stage, **outcome})
        if moment.how == WORKER:
            continue
        allowed = {EXITS[moment.how], 0}
        if stage == STARTING:  # before its first line runs, Python answers signals itself
            allowed.add(-int(getattr(signal, f"SIG{moment.how}")))
        elif "Traceback" in search.said()[heard:]:
            wrong.append(f"{moment.how} in {stage}: a traceback")
        if outcome["exit"] not in allowed or outcome["left"]:
            wrong.append(f"{moment.how} in {stage}: exit {outcome['exit']}, {outcome['left']} processes left")
        process = search.start()
    tries = 0
    while (code := process.wait(_END_S)) != 0 and (tries := tries + 1) < _TRIES:
        wrong.append(f"the run ended with exit {code}")
        process = search.start()
    if code == 0:
        wrong += differences(expected, values(search.out))
        if not wrong:
            shutil.rmtree(search.folder)
    return {"faults": faults, "wrong": wrong, "exit": code}


def told(n: int, record: Mapping[str, Any]) -> str:
    """A line on one run."""
    faults = ", ".join(
        f"{f['how']} in {f['came_in']}" + (f" ({f['file']})" if f["file"] else "") for f in record["faults"]
    )
    wrong = f"WRONG in {len(record['wrong'])}: {record['wrong'][:3]}" if record["wrong"] else "equal"
    return f"run {n}: {wrong}; {faults}"


def report(records: Sequence[Mapping[str, Any]]) -> int:
    """Print how often each fault came in each stage; returns the exit code."""
    faults = [fault for record in records for fault in record["faults"]]
    count = Counter((fault["came_in"], fault["how"]) for fault in faults)
    stages = dict.fromkeys(fault["came_in"] for fault in faults)
    ways = [KILL, "INT", "TERM", "HUP", WORKER]
    print(f"{'stage':<12}" + "".join(f"{way:>8}" for way in ways))
    for stage in stages:
        print(f"{stage:<12}" + "".join(f"{count[stage, way]:>8}" for way in ways))
    print(f"{'all':<12}" + "".join(f"{sum(f['how'] == way for f in faults):>8}" for way in ways))
    bad = [record for record in records if record["wrong"]]
    print(
        f"{len(faults)} interruptions of {len(records)} runs, {sum(bool(f['file']) for f in faults)} while a "
        f"file was written; {len(records) - len(bad)} runs ended as if left alone"
    )
    for line in sorted({line for record in bad for line in record["wrong"]})[:40]:
        print(f"  {line}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
