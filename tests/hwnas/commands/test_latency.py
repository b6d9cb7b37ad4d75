"""The commands that measure or show latencies: never a number without its context."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import TensorProto, helper

import cli
import lut
from hwnas.commands.documents.bench import bench_warnings
from lut import Measurement, SpaceTable
from lut.devices.reference_networks import reference_onnx
from lut.predictor.models.quantise import quantised
from targets import Context, Target, default_form, host_facts
from tests.support.homes import write_space_table

FACTS = {"ort_version": "1.0", "exporter": "by hand"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one small table in it."""
    write_space_table(tmp_path, "host", FACTS)
    return tmp_path


def test_tables_list_and_show(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tables", "list", "--home", str(home), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["table"] == f"host/{Context(FACTS).hash}/toy-32px"
    assert (row["state"], row["mape_pct"]) == ("ok", 2.5)
    assert cli.run(["tables", "show", "toy", "--home", str(home), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["blocks"], shown["blocks_measured"]) == (2, 1)
    assert shown["context"]["facts"] == FACTS


def test_damaged_tables_are_listed_as_such(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = home.rglob("toy-32px.json")
    path.write_text(path.read_text().replace("1.2", "1.3"))
    assert cli.run(["tables", "list", "--home", str(home)]) == 0
    out, err = capsys.readouterr()
    assert "damaged" in out
    assert "toy-32px.json" in err
    assert cli.run(["tables", "show", "toy", "--home", str(home)]) == 3


def test_tables_that_there_are_not(
    home: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["tables", "show", "tox-32px", "--home", str(home)]) == 2
    assert "toy-32px" in capsys.readouterr().err
    empty = tmp_path_factory.mktemp("empty")
    assert cli.run(["tables", "show", "toy", "--home", str(empty)]) == 2
    assert cli.run(["tables", "list", "--home", str(empty)]) == 0
    assert "hwnas profile" in capsys.readouterr().err


@pytest.mark.slow
def test_bench_states_the_context_beside_the_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(reference_onnx())
    assert cli.run(["bench", str(model), "--home", str(tmp_path / "home"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    row = document["models"][str(model)]
    assert 0 < row["ci_low_ms"] <= row["p50_ms"] <= row["ci_high_ms"]
    assert row["flag"] in ("ok", "unstable")
    assert document["target"]["threads"] == 1
    assert {"ort_version", "cpu_count", "target_precision"} <= document["context"]["facts"].keys()
    assert document["date"].startswith("20")


@pytest.mark.slow
def test_bench_on_an_int8_target_quantises_float_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    form = default_form(host_facts())
    int8 = quantised(reference_onnx(), form)
    paths = [tmp_path / "float.onnx", tmp_path / "int8.onnx"]
    for path, content in zip(paths, (reference_onnx(), int8), strict=True):
        path.write_bytes(content)
    line = ["bench", *map(str, paths), "--home", str(tmp_path / "home"), "--target", "host-int8"]
    assert cli.run([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["int8"] == {"form": form.text, "quantised": [str(paths[0])]}
    rows = [document["models"][str(path)] for path in paths]
    assert [row["memory"]["file_bytes"] for row in rows] == [len(int8)] * 2
    assert all(row["p50_ms"] > 0 for row in rows)


@pytest.mark.parametrize("target", ["host", "host-int8"])
def test_bench_says_what_it_quantised(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, bytes] = {}

    def measure(of: Target, files: dict[str, bytes], **_: object) -> dict[str, Measurement]:
        asked.update(files)
        return dict.fromkeys(files, Measurement(0.5, 0.6, 0.9, 0.58, 0.62, "cpu", "ok", 50))

    monkeypatch.setattr(lut, "measure", measure)
    model = tmp_path / "m.onnx"
    model.write_bytes(reference_onnx())
    line = ["bench", str(model), "--no-memory", "--home", str(tmp_path), "--target", target]
    assert cli.run(line) == 0
    text = default_form(host_facts()).text
    is_int8 = target == "host-int8"
    assert (f"quantised first: {model} ({text})" in capsys.readouterr().out) == is_int8
    assert (asked[str(model)] == reference_onnx()) == (not is_int8)


def test_bench_of_what_cannot_be_quantised_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.INT64, [4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", values[:1], values[1:])
    opset = [helper.make_opsetid("", 17)]
    model = tmp_path / "m.onnx"
    model.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    assert cli.run(["bench", str(model), "--home", str(tmp_path), "--target", "host-int8"]) == 3
    assert "m.onnx: cannot quantise: input 'x' is tensor(int64)" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"x" * 100, b"\x80\x04K*.", "truncated"], ids=str)
def test_bench_of_what_is_no_model(
    content: bytes | str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.onnx"
    if content is not None:
        model.write_bytes(reference_onnx()[:700] if isinstance(content, str) else content)
    assert cli.run(["bench", str(model), "--home", str(tmp_path / "home")]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "m.onnx" in err
    assert "Traceback" not in err


def test_where_nothing_was_measured_nothing_stands_beside_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    line = ["bench", str(text), str(tmp_path / "missing.onnx"), "--home", str(tmp_path)]
    assert cli.run(line) == 3
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("error: ") == 2


@pytest.mark.parametrize(
    "line",
    ["profile --minutes nan", "profile --minutes 0", "profile --target none", "profile --image-size x"],
)
def test_profile_checks_first(line: str, tmp_path: Path) -> None:
    assert cli.run([*line.split(), "--home", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["for real", "dry run"])
def test_a_wrong_method_is_refused_before_any_work(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the space was made before the method was looked at")

    monkeypatch.setattr("hwnas.commands.documents.profile.profile_space", work)
    line = ["profile", "--space", "mobile", "--method", "in-contxt", "--home", str(tmp_path)]
    assert cli.run([*line, *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: unknown method 'in-contxt' of measuring blocks; known: block-level, in-context "
        "(did you mean 'in-context'?)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_profile_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.run(["profile", "--dry-run", "--space", "mobile", "--image-size", "64", "--home", str(tmp_path)])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["image_size"] == 64
    assert list(tmp_path.iterdir()) == []


def test_a_table_among_several_of_a_device(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "tables/host" / Context(FACTS).hash
    other = replace(SpaceTable.load(folder, "toy-32px"), space_id="toy-64px")
    other.save(folder)
    assert cli.run(["tables", "show", "host", "--home", str(home)]) == 2
    said = capsys.readouterr().err
    assert f"host/{Context(FACTS).hash}/toy-32px, host/{Context(FACTS).hash}/toy-64px" in said
    assert "'host:toy-32px'" in said
    archive = home / "one.hwnas"
    assert cli.run(["tables", "export", "host:toy-64px", "--out", str(archive), "--home", str(home)]) == 0
    assert "toy-64px" in capsys.readouterr().out
    assert cli.run(["tables", "show", "host:toy-64", "--home", str(home)]) == 0
    assert cli.run(["tables", "show", "host:toy", "--home", str(home)]) == 2
    assert cli.run(["tables", "show", "host:toy-128px", "--home", str(home)]) == 2
    assert "known: host/" in capsys.readouterr().err


def test_what_is_unstable_is_said_with_its_reason() -> None:
    energy = {"flag": "unstable", "reason": "loops differ by 40%"}
    models = {
        "a": {"reason": "sessions differ by 12%"},
        "b": {"reason": "", "energy": energy},
        "c": {"reason": ""},
    }
    assert bench_warnings({"models": models}) == [
        "a is unstable: sessions differ by 12%",
        "the energy of b is unstable: loops differ by 40%",
    ]
