"""Every file, folder and module that a document or a docstring names is there."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import FENCE, ROOT, blocks_of

HISTORY = ROOT / "CHANGELOG.md"
"""It names what is gone."""

CODE = sorted(
    p
    for d in ("targets", "profilers", "lut", "hwnas", "tests", "benchmarks")
    for p in (ROOT / d).rglob("*.py")
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# A path has a known suffix, or is a folder of ours; what a run or a user leaves is named in other words.
TOP = "|".join(["targets", "profilers", "lut", "hwnas", "tests", "benchmarks", "docs"])
PATH = re.compile(rf"(?<![\w/.<~-])((?:{TOP})/[\w./-]*(?:\.(?:py|md|toml|yaml)|/)|[\w-]+\.md)(?![\w<*])")
LINK = re.compile(r"\]\(([^)#\s]+)")
MODULE = re.compile(rf"`((?:{TOP})(?:\.[a-z_0-9]+)+)(?:\(\))?`")


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring and comment."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield node.body[0].lineno, text


def there(name: str, near: Path) -> bool:
    places = (ROOT, near.parent, ROOT / "docs")
    return any((place / name).exists() for place in places)


def is_module_or_name(dotted: str) -> bool:
    """Whether `a.b.c` is a module, or a name that the module `a.b` (or `a`) has."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:n])
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            rest = parts[n:]
            if not rest:
                return True
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            return re.search(rf"\b{re.escape(rest[0])}\b", file.read_text(encoding="utf-8")) is not None
    return False


def missing(text: str, near: Path) -> list[str]:
    paths = {m.group(1) for m in PATH.finditer(text)}
    return sorted(
        [p for p in paths if not there(p, near)]
        + [m.group(1) for m in MODULE.finditer(text) if not is_module_or_name(m.group(1))]
    )


def test_the_search_finds_what_is_missing() -> None:
    text = "see `hwnas/core/mix.py`, docs/none.md, `hwnas.core.mix`, `hwnas.core.none` and nowhere.md"
    assert missing(text, ROOT / "README.md") == ["docs/none.md", "hwnas.core.none", "nowhere.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    written = {block.attributes.get("file") for block in blocks_of(document)}
    gone = [name for name in missing(text, document) if name not in written and document != HISTORY]
    prose = FENCE.sub("", text)
    links = [link for link in LINK.findall(prose) if "://" not in link and not there(link, document)]
    assert gone + links == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_documents_lead_to_a_heading(document: Path) -> None:
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", document.read_text(encoding="utf-8")):
        other = document if not target else document.parent / target
        headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.M)
        anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        if anchor not in anchors:
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_what_the_code_names_exists() -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in CODE
        if path != Path(__file__)
        for line, text in words_of(path)
        for name in missing(text, path)
    ]
    assert broken == []
