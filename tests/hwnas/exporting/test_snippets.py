"""The programs that call an exported file: Python and C++ run, Kotlin and Swift are read."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

import cli
from hwnas.core.samples import IMAGE, SOUND, WINDOW, SampleKind
from hwnas.exporting.snippets import AppFacts, file_names, snippets
from hwnas.exporting.snippets.kotlin import kotlin_text
from hwnas.tasks import CLASSIFICATION, DETECTION, MULTI_LABEL, REGRESSION, SEGMENTATION, Task
from hwnas.tasks.box_decode import decoded
from hwnas.tasks.box_scores import rows_of
from tests.support import cpp
from tests.support.exports import fake_costs, write_search

KINDS = {
    "plain": (),
    "pixels": ("--with-preprocessing", "nhwc", "--softmax"),
    "channels": ("--with-preprocessing", "nchw"),
}
OF_IMAGES = (CLASSIFICATION, MULTI_LABEL, REGRESSION, SEGMENTATION, DETECTION)
CPP_CASES: tuple[tuple[SampleKind, Task], ...] = (
    *((IMAGE, task) for task in OF_IMAGES),
    *((kind, task) for kind in (WINDOW, SOUND) for task in (CLASSIFICATION, MULTI_LABEL, REGRESSION)),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("snippets")
    write_search(home / "run", home / "home")
    return home / "run"


@pytest.fixture(scope="module", params=KINDS)
def exported(request: pytest.FixtureRequest, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export whose fastest file is the 8-bit one."""
    out = tmp_path_factory.mktemp("exported") / "out"
    line = ["export", str(run), "--as", "fp32,int8", "--max-drop", "0.1", "--licence", "CC0-1.0", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        fake_costs(patch, {"int8": 0.5})
        assert cli.run([*line, *KINDS[request.param], "--out", str(out)]) == 0
    return out


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """The export, for a test that may change it."""
    return shutil.copytree(exported, tmp_path / "out")


@pytest.mark.slow
def test_the_python_program_answers_as_the_golden_pair(folder: Path) -> None:
    program = [sys.executable, str(folder / "snippets/classify.py")]
    checked = subprocess.run([*program, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0 and checked.stdout.startswith("good"), checked.stdout + checked.stderr
    golden = json.loads((folder / "golden/expected.json").read_text())
    said = subprocess.run(
        [*program, str(folder / golden["image"])], capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[1] == golden["class"]
    (folder / "no.png").write_text("no image")
    several = [folder / "no.png", folder / "missing.png", folder / golden["image"]]
    some = subprocess.run([*program, *map(str, several)], capture_output=True, text=True, check=False)
    assert some.returncode == 2 and some.stdout == said.stdout and "Traceback" not in some.stderr
    assert len(some.stderr.splitlines()) == 2
    helped = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True)
    assert "classify.py photo.jpg" in helped.stdout
    golden["files"]["model.int8.onnx"]["outputs"][0] += 5
    (folder / "golden/expected.json").write_text(json.dumps(golden))
    assert subprocess.run([*program, "--check"], capture_output=True, check=False).returncode == 1


@pytest.mark.slow
def test_the_golden_pair_is_what_onnxruntime_answers_to_the_image(folder: Path) -> None:
    golden = json.loads((folder / "golden/expected.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    pixels = np.asarray(Image.open(folder / "golden/input.png"))[:, :, None]
    assert (folder / "golden/input.raw").read_bytes() == pixels.tobytes()
    said = manifest["input"]
    x = pixels[None] if said["input_layout"].startswith("NHWC") else pixels.transpose(2, 0, 1)[None]
    if "float32" in said["input_layout"]:
        x = ((x / 255 - said["mean"][0]) / said["std"][0]).astype(np.float32)
    for name, expected in golden["files"].items():
        session = ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        (scores,) = session.run([said["output_name"]], {said["input_name"]: x})
        np.testing.assert_allclose(scores[0], expected["outputs"], atol=expected["tolerance"] / 10)
        assert list(x.shape) == said["input_shape"]


@pytest.mark.slow
@pytest.mark.skipif(bool(cpp.lacking()), reason=cpp.lacking())
def test_the_cpp_program_answers_as_the_golden_pair(folder: Path) -> None:
    cpp.checks_itself(folder)


@pytest.mark.slow
@pytest.mark.skipif(bool(cpp.no_compiler()), reason=cpp.no_compiler())
def test_the_cpp_programs_of_all_tasks_compile(tmp_path: Path) -> None:
    """All in one call of the compiler, each in a namespace: most of its time goes to the headers."""
    text = _cpp_of(facts())
    lines = [line for line in text.splitlines() if line.startswith("#include")]
    for number, (kind, task) in enumerate(CPP_CASES):
        one_row = None if kind is IMAGE else 1
        known = facts(kind=kind, readable=task.readable, height=one_row or 32, n_values=_n_values(task))
        name = f"{kind.name}-{task.name}.inc"
        (tmp_path / name).write_text(_cpp_of(known), encoding="utf-8")
        lines.append(f'namespace n{number} {{\n#include "{name}"\n}}')
    source = tmp_path / "all.cpp"
    source.write_text("\n".join(lines), encoding="utf-8")
    cpp.compiled(source, "-fsyntax-only")


@pytest.mark.slow
@pytest.mark.skipif(bool(cpp.no_compiler()), reason=cpp.no_compiler())
def test_the_cpp_program_finds_the_boxes_that_scores_count(tmp_path: Path) -> None:
    known = facts(readable=DETECTION.readable, n_values=7 * 80, class_names=("cat", "dog", "owl"))
    (tmp_path / "detect.cpp").write_text(_cpp_of(known), encoding="utf-8")
    program, pixels = tmp_path / "detect", tmp_path / "pixels.raw"
    cpp.compiled(tmp_path / "detect.cpp", "-o", str(program), place=cpp.STAND_IN)
    pixels.write_bytes(bytes(known.channels * known.height * known.width))
    outputs = np.random.default_rng(0).normal(-2, 2, (2, 7, 80)).astype("<f4")
    for output, answer in zip(outputs, decoded(outputs), strict=True):
        (tmp_path / known.file).write_bytes(output.tobytes())
        line = [str(program), str(tmp_path / known.file), str(pixels)]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        rows = [re.split(":? ", row) for row in said.splitlines()]
        expected = [row for row in rows_of(answer) if row[5] > known.threshold]
        assert [row[0] for row in rows] == [known.class_names[int(row[0])] for row in expected]
        numbers = [[*map(float, row[2:]), float(row[1])] for row in rows]
        np.testing.assert_allclose(
            numbers, [row[1:] for row in expected], atol=6e-4
        )  # three digits are printed


def _cpp_of(known: AppFacts) -> str:
    ((_, text),) = [item for item in snippets(known).items() if item[0].endswith(".cpp")]
    return text


def _n_values(task: Task) -> int | None:
    return 7 * 80 if task.boxes else None


def facts(**changes: object) -> AppFacts:
    values: dict[str, object] = {
        "file": "model.onnx",
        "input_name": "image",
        "output_name": "logits",
        "pixels": False,
        "channels_last": False,
        "batch": 1,
        "channels": 3,
        "height": 32,
        "width": 48,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "class_names": ("cat", 'a "$dog"\\', "né"),
        "expected": (1.0, -2.5e-05, 3.0),
        "tolerance": 0.001,
        "probabilities": False,
        "readable": CLASSIFICATION.readable,
    }
    return AppFacts(**{**values, **changes})  # type: ignore[arg-type]  # names as above


@pytest.mark.parametrize("suffix", [".py", ".cpp", ".kt", ".swift"])
@pytest.mark.parametrize("changes", [{}, {"pixels": True, "channels_last": True, "channels": 1}])
@pytest.mark.parametrize("task", OF_IMAGES, ids=lambda task: task.name)
def test_every_program_says_the_true_names_and_shapes(
    suffix: str, changes: dict[str, object], task: Task
) -> None:
    known = facts(**changes, readable=task.readable, n_values=_n_values(task))
    ((name, text),) = [item for item in snippets(known).items() if item[0].endswith(suffix)]
    assert name in file_names(task.readable)
    assert not re.search(r"@[A-Za-z_]+@", text) and "THRESHOLD" not in text
    assert ("lassif" in text) == (task is CLASSIFICATION)
    for word in (known.file, "image", "logits", "48", "cat", "né"):
        assert word in text
    if not name.endswith(".py"):  # its golden answers are in the folder
        assert "-2.5e-05" in text and ", ".join(map(str, known.shape)) in text
    assert ("0.485" in text) == (not known.pixels)
    code = re.sub(r'"(\\.|[^"\\])*"', '""', re.sub(r"//.*|/\*.*?\*/|^#.*", "", text, flags=re.M))
    if name.endswith(".py"):
        ast.parse(text)
    else:
        assert all(code.count(a) == code.count(b) for a, b in ("()", "[]", "{}"))


def test_the_python_program_finds_the_boxes_that_scores_count() -> None:
    known = facts(readable=DETECTION.readable, n_values=7 * 80)
    (text,) = [text for name, text in snippets(known).items() if name.endswith(".py")]
    assert "np.abs(scores.ravel()[::1] - " in text  # the golden numbers lie in one row
    program = types.ModuleType("detect")
    program.__file__ = __file__
    exec(compile(text, "detect.py", "exec"), program.__dict__)  # what the export writes, and nothing else
    outputs = np.random.default_rng(0).normal(-2, 2, (3, 7, 80)).astype(np.float32)
    for output, answer in zip(outputs, decoded(outputs), strict=True):
        expected = [row for row in rows_of(answer) if row[5] > known.threshold]
        found = program.boxes(output)
        assert [name for name, _, _ in found] == [known.class_names[int(row[0])] for row in expected]
        for (_, score, box), row in zip(found, expected, strict=True):
            assert [*box, score] == pytest.approx(row[1:].tolist(), abs=1e-5)


def test_class_names_cannot_break_out_of_their_quotes() -> None:
    assert kotlin_text('a "$x"\\') == r'"a \"\$x\"\\"'
    name = '"); system("rm -rf /"); //'
    for file, text in snippets(facts(class_names=(name, "b", "c"))).items():
        assert ("system(" in text) and f"({name}" not in text and f'"{name}' not in text, file
