"""A page is played in order, for real, and every outcome is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import transcripts
from tests.support import pages

PAGE = """
```console
$ hwnas targets show nowhere
```

```sh
hwnas targets show raspberry-pi-5 > board.toml
missing-program --now
```

```sh not-run="a board"
hwnas profile --target board.toml
```

```sh not-run="measures for seconds"
hwnas targets show host > host.toml
```

```python
text = open("board.toml").read()
print("board" in text)
```

```python
print(len(text) > 9)
missing
```
"""


def test_a_page_is_played_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page, folder, out = tmp_path / "page.md", tmp_path / "new", tmp_path / "out.txt"
    page.write_text(PAGE.replace("```console", "```console exit=2"))
    more = ["--run", "measures for seconds"]
    assert transcripts.main([str(page), "--folder", str(folder), "--out", str(out), *more]) == 1
    text = out.read_text()
    assert "$ hwnas targets show nowhere\nerror: unknown target 'nowhere'" in text and "[exit 2]" in text
    assert 'name = "raspberry-pi-5"' in (folder / "board.toml").read_text()
    assert "$ missing-program --now\nmissing-program: No such file or directory\n[exit 127]" in text
    assert "$ hwnas profile --target board.toml\n[not run: a board]" in text
    assert (folder / "host.toml").is_file()
    assert 'print("board" in text)\n\nTrue\n[' in text and "\nTrue\nTraceback" in text
    assert "NameError: name 'missing' is not defined\n[exit 1]" in text
    with pytest.raises(SystemExit):
        transcripts.main([str(page), "--folder", str(folder), "--out", str(out)])
