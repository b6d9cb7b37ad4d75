"""Every example of the README, the documents and the notebooks runs, and prints what the page shows.

The folder it runs in holds what the pages speak of: `photos/`, `model.onnx`, `board.toml`, a run, a home with
tables. What cannot run in a test is marked in the page with the reason (`tests/support/pages.py`).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import re
import shlex
import tomllib
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import cli
from hwnas.commands.app import TOPICS, app
from hwnas.pipeline.search_history.alphas import alphas_npz
from hwnas.runs.config import SearchConfig
from hwnas.runs.log import Log
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from targets import load_target
from tests.support.homes import chain_of_products, write_predictor, write_space_table
from tests.support.image_files import write_image_files
from tests.support.notebooks import cells_of, run_cell
from tests.support.pages import ROOT, Block, blocks_of

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
MAKE = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
OURS = ("hwnas", "lut", "targets", "profilers", "tests")
SET_UP = {
    "python3 -m venv .venv",
    ".venv/bin/pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu",
    ".venv/bin/pip install .",
}
"""What installs; tests/house/test_wheel.py does the like."""

WRITTEN = {"classify.py"}
"""Programs that an export writes; tests/hwnas/exporting/test_snippets.py runs them."""

NOT_RUN = {
    "a board",
    "a cluster",
    "several GPUs",
    "a finished run",
    "a download",
    "a loop of the shell",
    "hours, and downloads",
    "measures for seconds",
    "minutes to hours",
    "needs the tables of NAS-Bench-201",
}
"""The reasons that a block may have; a new one is a line here."""


def write_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(folder / label / f"{i}.png")


def write_run(path: Path, space_name: str) -> None:
    """A run that has split its data and searched for 50 epochs."""
    method = "p-darts" if space_name == "darts" else "proxyless"
    config = SearchConfig(data="photos", image_size=96, space=space_name, method=method)
    with create_search(path, config, log=Log(quiet=True)) as run:
        run.finish_stage("splits", {})
    space = load_space(space_name, image_size=96, in_channels=3, n_classes=2)
    (path / "alphas.npz").write_bytes(
        alphas_npz({c.name: np.zeros((50, len(c.options)), np.float32) for c in space.choices})
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a page's examples run, and their home."""
    home = tmp_path / "home"
    monkeypatch.setenv("HWNAS_HOME", str(home))
    here = tmp_path / "here"
    write_photos(here / "photos")
    monkeypatch.chdir(here)
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for path in sorted(Path("photos").rglob("*.png")):
            archive.write(path)
    rows = [f"{p.relative_to('photos')},{p.parent.name}\n" for p in sorted(Path("photos").rglob("*.png"))]
    Path("labels.csv").write_text("file,label\n" + "".join(rows))
    Path("model.onnx").write_bytes(chain_of_products(3, [4, 32], name="product"))
    Path("models").mkdir()
    for n in (1, 2):
        Path(f"models/{n}.onnx").write_bytes(chain_of_products(n, ["batch", 32], name="product"))
    host = Path(cli.__file__).parent / "targets/known/host.toml"
    Path("board.toml").write_text(host.read_text().replace('name = "host"', 'name = "board"'))
    for target in ("host", "board.toml"):
        write_predictor(home, load_target(target))
    board = {"cpu_model": "Cortex-A76", "ort_version": "1.0", "exporter": "by hand"}
    context = write_space_table(home, "raspberry-pi-5", board, "mobile-32px").context
    write_predictor(home, load_target("raspberry-pi-5"), context)
    write_run(Path("runs/photos-host-1"), "mobile")
    write_run(Path("runs/cells"), "darts")
    return here


def check(line: str, place: str) -> None:
    """The command of `line` and each of its options exist."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert set(words[1:]) <= MAKE, place
    elif Path(words[0]).name == "hwnas":
        names = [word for word in words[1:] if re.fullmatch(r"[a-z]+", word)]
        commands = names[:2] if names[0] in GROUPS else names[:1]
        shown = CliRunner().invoke(app, [*commands, "--help"])
        assert shown.exit_code == 0, f"{place}: {shown.output}"
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in shown.output, f"{place}: {option}"
    elif words[0].endswith("python") and words[1:3] == ["-m", "pytest"]:
        paths = [word for word in words[3:] if word.startswith("tests")]
        assert [path for path in paths if not (ROOT / path).exists()] == [], place
    elif words[0].endswith("python") and "/snippets/" in words[1]:
        assert Path(words[1]).name in WRITTEN, f"{place}: {line}"
    elif words[0].endswith("python"):
        program = ROOT / words[1] if words[1] != "-m" else ROOT.joinpath(*words[2].split("."))
        files = [f for f in (program, program.with_suffix(".py"), program / "__main__.py") if f.is_file()]
        assert files, f"{place}: {line}"
        near = files[0].parent.glob("*.py")
        source = "".join(file.read_text(encoding="utf-8") for file in near)
        for option in (word.split("=")[0] for word in words[2:] if word.startswith("--")):
            assert f'"{option}"' in source, f"{place}: {option}"
    else:
        assert line in SET_UP, f"{place}: the test does not know {line!r}"


GROUPS = [name for topic in TOPICS.values() for name, c in topic.items() if isinstance(c, typer.Typer)]
KNOWN = ("make", "hwnas", "python")


def check_marked(block: Block) -> None:
    """What can be known of a block that is not run."""
    if block.language == "python":
        return check_calls(block)
    lines = [line for line, _ in block.commands()] if block.language == "console" else block.lines()
    for line in lines:
        if Path(shlex.split(line)[0]).name in KNOWN:
            check(line, block.place)
    return None


def run(line: str, place: str, *more: str, wanted_code: int = 0) -> str:
    """What `line` prints, with its messages where it is to fail; `> FILE` is followed."""
    words = shlex.split(line, comments=True)
    if Path(words[0]).name != "hwnas":
        check(line, place)
        return ""
    words, _, file = [[*words, ">"][: [*words, ">"].index(">")], None, words[-1] if ">" in words else ""]
    out = io.StringIO()
    err = out if wanted_code else io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([*words[1:], *more])
    assert code == wanted_code, f"{place}: {line}\n{err.getvalue()}"
    if file:
        Path(file).write_text(out.getvalue())
        return ""
    return out.getvalue()


def masked(line: str) -> str:
    """A line with numbers and what it is padded with left out."""
    return re.sub(r"\d[\d.,]*(e-?\d+)?", "N", re.sub(r"\s+", " ", line)).strip()


def first_word(line: str) -> str:
    return line.split()[0] if line.split() else ""


def run_console(block: Block) -> None:
    """Each `$ ` line prints what stands below it; a line `…` stands for any lines."""
    for line, shown in block.commands():
        output = run(line, block.place, wanted_code=int(block.attributes.get("exit", 0)))
        printed, wanted = output.splitlines(), shown.splitlines()
        if "on" in block.attributes:
            printed, wanted = ([*lines[:1], *map(first_word, lines[1:])] for lines in (printed, wanted))
        pattern = "".join(r"(?:.*\n)*?" if t == "…" else re.escape(masked(t)) + "\n" for t in wanted)
        text = "".join(f"{masked(text)}\n" for text in printed)
        assert re.fullmatch(pattern, text), f"{block.place}: {line} prints\n{text}"


def check_calls(block: Block) -> None:
    """Names that a Python block imports from us exist, and take the keywords that it gives them."""
    tree = ast.parse(block.text)
    ours: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module.split(".")[0] not in OURS:
                continue
            module = importlib.import_module(node.module)
            ours |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours:
            keywords = {k.arg: None for k in node.keywords if k.arg}
            inspect.signature(ours[node.func.id]).bind_partial(**keywords)


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def check_imports(block: Block, file: str) -> None:
    """What a file of a recipe imports from us is there, but for what the recipe itself adds."""
    package = list(Path(file).parent.parts)
    added = {b.attributes.get("file") for b in BLOCKS if b.page == block.page}
    for node in ast.walk(ast.parse(block.text)):
        if not isinstance(node, ast.ImportFrom):
            continue
        above = package[: len(package) - node.level + 1] if node.level else []
        module = ".".join([*above, *filter(None, [node.module])])
        if module.split(".")[0] in OURS and f"{module.replace('.', '/')}.py" not in added:
            loaded = importlib.import_module(module)
            absent = [alias.name for alias in node.names if not hasattr(loaded, alias.name)]
            assert absent == [], f"{block.place}: {module} has no {absent}"


def run_block(block: Block, names: dict[str, Any]) -> None:
    file = block.attributes.get("file")
    if "not-run" in block.attributes:
        check_marked(block)
    elif block.language == "files":
        write_image_files(block.text, Path())
    elif block.language == "csv" and file:
        Path(file).write_text(block.text)
    elif block.language == "toml" and file:
        tomllib.loads(block.text)
        if "/" not in file:
            Path(file).write_text(block.text)
    elif block.language == "python" and file:
        check_imports(block, file)
    elif block.language == "python" and "part" in block.attributes:
        assert any(parses(form % block.text) for form in ("%s", "f(%s)", "{%s}")), block.place
    elif block.language == "python":
        output = io.StringIO()
        with redirect_stdout(output):
            exec(compile(block.text, block.place, "exec"), names)
    elif block.language == "console":
        run_console(block)
    elif block.language == "sh":
        more = ["--dry-run"] if "dry-run" in block.attributes else []
        for line in block.lines():
            run(line, block.place, *more)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, world: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks_of(page):
        run_block(block, names)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_the_cells_of_a_notebook_run(notebook: Path, world: Path) -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells_of(notebook):
        printed = run_cell(cell, names)
        assert cell.varies or masked(printed) == masked(cell.printed), cell.place


def test_what_is_not_run_is_known() -> None:
    reasons = [block.attributes["not-run"] for block in BLOCKS if "not-run" in block.attributes]
    assert set(reasons) == NOT_RUN


def test_blocks_are_of_a_kind_that_is_checked() -> None:
    known: dict[str, set[str]] = {
        "sh": {"dry-run", "not-run"},
        "console": {"exit", "on", "not-run"},
        "files": set(),
        "csv": {"file"},
        "python": {"not-run", "file", "part"},
        "toml": {"file"},
        "text": set(),
    }
    odd = [b.place for b in BLOCKS if b.language not in known or not set(b.attributes) <= known[b.language]]
    assert odd == []
