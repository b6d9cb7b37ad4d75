"""Plays the commands of pages in a folder, as a newcomer would type them, and writes down all that is seen.

    python -m benchmarks.transcripts docs/tutorials/device-owner.md --folder NEW --out transcript.txt

Every command is run for real, in the order of the page, but for those that the page marks `not-run`, which
are written down with the reason. A command that fails is followed by its exit code, and the next one is run.
Images and files that a page shows are made first. The exit code is 1 where a command ended otherwise than the
page says.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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
        if self.text is None:
            return f"$ {self.line}\n[not run: {self.reason}]\n"
        end = f"[exit {self.code}]\n" if self.code else ""
        return f"$ {self.line}\n{self.text}{end}[{self.seconds:.0f} s]\n"


def commands_of(block: Block) -> list[str]:
    """The lines that a reader types."""
    if block.language == "console":
        return [line for line, _ in block.commands()]
    return block.lines() if block.language == "sh" else []


def play(page: Path, folder: Path) -> Iterator[Played]:
    """Run the commands of a page in `folder`, which keeps its own data home."""
    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks_of(page):
        if block.language == "files":
            write_image_files(block.text, folder)
        elif "file" in block.attributes and block.language != "python":
            (folder / block.attributes["file"]).write_text(block.text, encoding="utf-8")
        for line in commands_of(block) if block.language in _SHELLS else ():
            reason = block.attributes.get("not-run", "")
            yield (
                _skipped(line, reason) if reason else _run(line, folder, int(block.attributes.get("exit", 0)))
            )


def _skipped(line: str, reason: str) -> Played:
    return Played(line, None, 0, 0, 0.0, reason)


def _run(line: str, folder: Path, wanted: int) -> Played:
    """One command without a shell; `> FILE` at its end is understood, as pages use it."""
    words = shlex.split(line, comments=True)
    target = Path(words[-1]) if len(words) > 2 and words[-2] == ">" else None
    words = words[:-2] if target else words
    program = [sys.executable, "-m", "cli", *words[1:]] if words[0] == "hwnas" else words
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "HWNAS_HOME": str(folder / "home"), "PYTHONPATH": path}
    began = time.monotonic()
    try:
        done = subprocess.run(
            program, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
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
    given = parser.parse_args(arguments)
    if given.folder.exists() and any(given.folder.iterdir()):
        parser.error(f"{given.folder} is not empty; a newcomer begins with an empty folder")
    failed = 0
    with given.out.open("w", encoding="utf-8") as out:
        for page in given.pages:
            out.write(f"## {page}\n\n")
            for played in play(page.resolve(), given.folder.resolve()):
                out.write(played.transcript() + "\n")
                out.flush()
                failed += played.code != played.wanted
                print(f"{played.code:3d}  {played.seconds:6.1f} s  {played.line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
