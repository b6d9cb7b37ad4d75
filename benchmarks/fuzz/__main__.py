"""Broken inputs at every door: which of them end in anything but an answer or one clear error?

    python -m benchmarks.fuzz [--inputs 100000] [--minutes 30] [--seed 0] [--door NAME] [--workers 2]
                              [--record FOLDER]

An input is a valid one, broken by a seeded generator: the same options give the same inputs. They are read in
processes of 4 GB at most. Counted are inputs that were read, that were refused by an error of ours,
tracebacks (any other error), hangs (over 5 s) and processes that died. `--show DOOR:NUMBER` prints an input.
With `--record` what was read is kept, and the same command goes on with the others; runs of other seeds or
doors have folders of their own.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .doors import DOORS
from .record import Record
from .workers import Case, Counts, input_of, run


def cases(n: int, only: list[str]) -> Iterator[Case]:
    """As many of each door as its share says, in turns."""
    doors = {name: door for name, door in DOORS.items() if not only or name in only}
    turn = [name for name, door in doors.items() for _ in range(door.share)]
    numbers = {name: itertools.count() for name in doors}
    for name in itertools.islice(itertools.chain.from_iterable(itertools.repeat(turn)), n):
        yield name, next(numbers[name])


def report(counts: Counts, seconds: float) -> int:
    """Print the counts; returns the exit code."""
    print(f"{'door':<20} {'read':>7} {'refused':>8} {'found':>6} {'ms each':>8}")
    found = {name: sum(case[0] == name for of in counts.found.values() for case in of) for name in DOORS}
    for name in DOORS:
        n = counts.read[name] + counts.refused[name] + found[name]
        each = 1e3 * counts.seconds[name] / max(n, 1)
        print(f"{name:<20} {counts.read[name]:>7} {counts.refused[name]:>8} {found[name]:>6} {each:>8.1f}")
    n_found = sum(map(len, counts.found.values()))
    n = sum(counts.read.values()) + sum(counts.refused.values()) + n_found
    print(
        f"{n} inputs, read in {seconds / 60:.1f} minutes; {n_found} ended in anything else, "
        f"in {len(counts.found)} ways"
    )
    for (what, where), of in sorted(counts.found.items(), key=lambda item: -len(item[1])):
        print(f"{len(of):>6} x {what} {where}: {', '.join(f'{door}:{i}' for door, i in of[:3])}")
    return int(n_found > 0)


def main() -> int:
    """Break, read and count; exit code 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--door", action="append", default=[], choices=list(DOORS))
    parser.add_argument("--record", type=Path, help="folder that keeps what was read, to go on")
    parser.add_argument("--show", help="print the input DOOR:NUMBER")
    options = parser.parse_args()
    if options.show:
        door, _, number = options.show.rpartition(":")
        sys.stdout.buffer.write(input_of((door, int(number)), options.seed, list(DOORS[door].seeds())))
        return 0
    counts, began = Counts(), time.monotonic()
    until = began + 60 * options.minutes
    with Record(options.record, options.seed) as record:
        for line in record.known():
            counts.add(*line)
        known = {line[0] for line in record.known()}
        left = [case for case in cases(options.inputs, options.door) if case not in known]
        for case, (outcome, where, seconds) in run(left, options.seed, options.workers, until):
            counts.add(case, outcome, where, seconds)
            record.add(case, outcome, where, seconds)
    return report(counts, sum(counts.seconds.values()))


if __name__ == "__main__":
    sys.exit(main())
