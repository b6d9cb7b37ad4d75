"""Plays the commands of pages in a folder, as a newcomer would type them, and writes down all that is seen.

    python -m benchmarks.transcripts docs/tutorials/device-owner.md --folder NEW --out transcript.txt \\
        --run "measures for seconds"

Every command and every Python block is run for real, in the order of the page, but for what the page marks
`not-run`, which is written down with the reason; `--run REASON` runs it too. Several pages share the folder.
A command that fails is followed by its exit code, and the next one is run. Images and files that a page shows
are made first. The exit code is 1 where a command ended otherwise than the page says.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.image_files import write_image_files
from tests.support.pages import ROOT, Block, blocks_of

_SHELLS = ("sh", "console")


@dataclass(frozen=True, slots=True)
class Played:
    """One command.

    text: what was seen; None where it was not run, for `reason`. code: its exit code; wanted: the page's.
    """

    line: str
    text: str | None
    code: int
    wanted: int
    seconds: float
    reason: str = ""

    def transcript(self) -> str:
        """As it would stand in a terminal."""
        prompt = ">>>" if "\n" in self.line else "$"
        if self.text is None:
            return f"{prompt} {self.line}\n[not run: {self.reason}]\n"
        end = f"[exit {self.code}]\n" if self.code else ""
        return f"{prompt} {self.line}\n{self.text}{end}[{self.seconds:.0f} s]\n"


def commands_of(block: Block) -> list[str]:
    """The lines that a reader types."""
    if block.language == "console":
        return [line for line, _ in block.commands()]
    return block.lines() if block.language == "sh" else []


def play(page: Path, folder: Path, wanted: Collection[str] = ()) -> Iterator[Played]:
    """Run a page in `folder`, which keeps its own data home. wanted: reasons in spite of which blocks run."""
    folder.mkdir(parents=True, exist_ok=True)
    with _python_in(folder) as session:
        for block in blocks_of(page):
            reason = block.attributes.get("not-run", "")
            is_skipped = bool(reason) and reason not in wanted
            code = int(block.attributes.get("exit", 0))
            if block.language == "files":
                write_image_files(block.text, folder)
            elif "file" in block.attributes and block.language != "python":
                (folder / block.attributes["file"]).write_text(block.text, encoding="utf-8")
            elif block.language == "python" and not block.attributes.keys() & {"file", "part"}:
                yield _skipped(block.text, reason) if is_skipped else _typed(session, block.text)
            for line in commands_of(block) if block.language in _SHELLS else ():
                yield _skipped(line, reason) if is_skipped else _run(line, folder, code)


def _skipped(line: str, reason: str) -> Played:
    return Played(line, None, 0, 0, 0.0, reason)


def _environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "HWNAS_HOME": str(folder / "home"), "PYTHONPATH": path}


_SESSION = """
import json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    code = 0
    try:
        exec(compile(json.loads(line), "<page>", "exec"), names)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        code = 1
    print(f"\\x1e{code}", flush=True)
"""
"""Runs a block per line of its input, in one namespace; a record separator and 0 or 1 end each answer."""

Session = subprocess.Popen[str]


@contextmanager
def _python_in(folder: Path) -> Iterator[Session]:
    """A Python that stays, as that of a notebook does."""
    command = [sys.executable, "-u", "-c", _SESSION]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as session:
        yield session
        assert session.stdin is not None
        session.stdin.close()


def _typed(session: Session, text: str) -> Played:
    """A block given to the Python that stays."""
    assert session.stdin is not None and session.stdout is not None
    began = time.monotonic()
    session.stdin.write(json.dumps(text) + "\n")
    session.stdin.flush()
    printed: list[str] = []
    for line in session.stdout:
        if line.startswith("\x1e"):
            return Played(text, "".join(printed), int(line[1:]), 0, time.monotonic() - began)
        printed.append(line)
    return Played(text, "".join(printed), session.wait(), 0, time.monotonic() - began)


def _run(line: str, folder: Path, wanted: int) -> Played:
    """One command without a shell; `> FILE` at its end is understood, as pages use it."""
    words = shlex.split(line, comments=True)
    target = Path(words[-1]) if len(words) > 2 and words[-2] == ">" else None
    words = words[:-2] if target else words
    program = [sys.executable, "-m", "cli", *words[1:]] if words[0] == "hwnas" else words
    program = [sys.executable, *words[1:]] if words[0] == "python" else program
    began = time.monotonic()
    try:
        done = subprocess.run(
            program,
            cwd=folder,
            env=_environment(folder),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        text, code = done.stdout, done.returncode
    except OSError as error:
        text, code = f"{words[0]}: {error.strerror}\n", 127
    if target is not None and code == 0:
        (folder / target).write_text(text, encoding="utf-8")
        text = ""
    return Played(line, text, code, wanted, time.monotonic() - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the pages one after the other in one folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where the commands run; new or empty")
    parser.add_argument("--out", type=Path, required=True, help="the transcript")
    parser.add_argument("--run", action="append", default=[], help="a reason of not-run, repeatable")
    given = parser.parse_args(arguments)
    if given.folder.exists() and any(given.folder.iterdir()):
        parser.error(f"{given.folder} is not empty; a newcomer begins with an empty folder")
    failed = 0
    with given.out.open("w", encoding="utf-8") as out:
        for page in given.pages:
            out.write(f"## {page}\n\n")
            for played in play(page.resolve(), given.folder.resolve(), given.run):
                out.write(played.transcript() + "\n")
                out.flush()
                failed += played.code != played.wanted
                head = played.line.partition("\n")[0]
                print(f"{played.code:3d}  {played.seconds:6.1f} s  {head}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
