"""The fenced blocks of the documents, and what stands behind their language.

```sh                         every line is run
```sh dry-run                 run with --dry-run added: options and files are checked
```sh not-run="the reason"    only checked: commands and options exist
```console                    `$ ` lines are run; what follows is their output (numbers may differ)
```console exit=3             the same of a command that ends with this code, its messages included
```console on="a machine"     the output of that one: compared are the first line, and first words of others
```console not-run="…"        only checked, as sh
```files                      images that are there for the next blocks (`tests/support/image_files.py`)
```python                     run
```python part                a part of a file that is there, as a recipe changes it: only read
```python file=PATH           the content of a file of the checkout, as a recipe tells to write it
```toml file=PATH             a file beside which the next blocks run
```csv file=PATH              the same
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    attributes: dict[str, str]
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    def lines(self) -> list[str]:
        """The commands of a shell block, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]

    def commands(self) -> list[tuple[str, str]]:
        """The commands of a console block, each with the lines below it."""
        parts = re.split(r"^\$ ", self.text, flags=re.M)[1:]
        return [part.partition("\n")[::2] for part in parts]


def blocks_of(page: Path) -> Iterator[Block]:
    """Every block with a language, in order."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        attributes = dict(word.partition("=")[::2] for word in shlex.split(match[2]))
        line = text.count("\n", 0, match.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, match[1], attributes, match[3])
