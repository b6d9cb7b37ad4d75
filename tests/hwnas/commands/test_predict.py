"""`hwnas predict`, `profile` and `bench` as people type them, with a predictor whose answers are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import cli
import lut
from lut.devices.device import device_context
from lut.predictor.kernels.network import Overhead
from lut.predictor.profile import predictor_folder
from targets import load_target
from targets.errors import TargetError
from tests.support.homes import chain_of_products, write_predictor

HOST = load_target("host")
EVIL = "<script>alert(1)</script>"


def chain(n: int, shape: list[Any], op: str = "Gelu", domain: str = "") -> bytes:
    """`n` matrix products and an operation, with names that a page must escape."""
    return chain_of_products(n, shape, op=op, domain=domain, name=EVIL)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a predictor of this machine: 0.1 ms a matrix product, 0.05 ms anything else."""
    write_predictor(tmp_path / "home", HOST)
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(chain(3, [4, 32]))
    return path


def test_predict(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(model), "--home", str(home), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document["models"][str(model)]
    assert found["latency_ms"] == pytest.approx(3 * 0.1 + 0.05 + 0.02)
    assert found["macs"] == 3 * 4 * 32 * 32
    assert found["file_bytes"] == model.stat().st_size
    assert found["kernels_from"] == "target"
    assert 0 < found["low_ms"] < found["latency_ms"] < found["high_ms"]
    assert [layer["source"] for layer in found["layers"]] == ["known"] * 3 + ["unknown"]
    assert found["unknown"] == {"Gelu": 0}
    assert found["measured"] is None
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(0.35 / 0.37)
    assert document["context"]["hash"] == device_context(HOST, "").hash
    assert document["profile"] == {
        "date": "2026-01-02",
        "device_s": 300.0,
        "errors": {"mape_pct": 4.5},
        "state": "ok",
        "notes": [],
    }


def test_the_breakdown_and_what_was_never_profiled(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", str(model), "--home", str(home), "--breakdown"]) == 0
    out, err = capsys.readouterr()
    assert "never profiled: Gelu (0); 14 % of its time" in err  # 0.05 / 0.37
    assert "1 kind never profiled" in out
    assert "outside of all layers" in out
    assert "mean error 4.5 % on networks not seen" in out
    assert "onnxruntime" in out
    lines = [line.split()[0] for line in out.splitlines() if "0.1" in line or "0.05" in line]
    assert lines.index("last") > lines.index(f"{EVIL}0"), "the costliest first"


@pytest.mark.slow
def test_the_page_escapes_and_loads_nothing(home: Path, model: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    assert cli.run(["predict", str(model), "--home", str(home), "--html", str(page), "--measure"]) == 0
    text = page.read_text()
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;0" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count('class="bar"') == 8, "four layers, predicted and measured"
    assert "measured in context" in text
    assert "default-src &#x27;none&#x27;" in text


@pytest.mark.slow
def test_measured_beside_predicted(home: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(model), "--home", str(home), "--measure", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"].values()
    assert found["measured"]["latency_ms"] > 0
    assert found["measured"]["kernels"] == 4
    assert all(layer["measured_ms"] > 0 for layer in found["layers"])


def test_open_shapes_are_given_on_the_command_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "open.onnx"
    path.write_bytes(chain(1, ["words", 32]))
    line = ["predict", str(path), "--home", str(home), "--json"]
    assert cli.run(line) == 2
    assert "--shape x=1,32" in capsys.readouterr().err
    assert cli.run([*line, "--shape", "x=8,32"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"].values()
    assert found["macs"] == 8 * 32 * 32


def test_a_shape_counts_for_the_models_that_have_the_input(
    home: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(rows_of_a_table(["n", 4]))
    line = ["predict", str(model), str(other), "--home", str(home), "--json"]
    assert cli.run([*line, "--shape", "ids=2,4"]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == 2
    assert cli.run([*line, "--shape", "nothing=2,4"]) == 2
    assert "none of the models has an input 'nothing'" in capsys.readouterr().err


def rows_of_a_table(shape: list[Any]) -> bytes:
    """Rows of a table of 3, and a mask of whole numbers."""
    nodes = [helper.make_node("Gather", ["w", "ids"], ["y"], name="rows")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((3, 4), np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def test_what_is_fed_is_said_and_can_be_given(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.onnx"
    path.write_bytes(rows_of_a_table([1, 8]))
    assert cli.run(["predict", str(path), "--home", str(home)]) == 0
    assert "note: " in (err := capsys.readouterr().err)
    assert "fed ids 0 to 2" in err
    assert cli.run(["predict", str(path), "--home", str(home), "--input", "ids=1"]) == 0
    assert "note: " not in capsys.readouterr().err
    assert cli.run(["predict", str(path), "--home", str(home), "--input", "ids=7"]) == 2
    err = capsys.readouterr().err
    assert f"onnxruntime cannot run {path}" in err
    assert "Traceback" not in err


def test_shares_are_of_the_whole_and_intervals_widen(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 kernels that add up to more than the network takes; none of their kind was profiled."""
    stored = lut.load_predictor(HOST, home).stored
    (folder,) = (path.parent for path in home.rglob("predictor.json"))
    replace(stored, overhead=Overhead(1.0, -0.03, 0.0)).save(folder)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("t0", "t100")]
    nodes = [helper.make_node("Sin", [f"t{i}"], [f"t{i + 1}"]) for i in range(100)]
    path = tmp_path / "sin.onnx"
    opsets = [helper.make_opsetid("", 17)]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    assert cli.run(["predict", str(path), "--home", str(home), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["models"].values()
    assert answer["latency_ms"] == pytest.approx(100 * 0.05 / 2)
    assert sum(layer["share"] for layer in answer["layers"]) == pytest.approx(1)
    assert answer["high_ms"] > 40 * answer["latency_ms"]
    assert 0 < answer["low_ms"] < answer["latency_ms"] / 40
    assert cli.run(["predict", str(path), "--home", str(home)]) == 0
    assert "100 % of its time" in capsys.readouterr().err


def test_work_that_is_not_counted_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [4, 8]), ("y", [4, 4]))
    ]
    nodes = [helper.make_node("Einsum", ["x", "x", "x"], ["y"], equation="ij,kj,lj->il")]
    path = tmp_path / "einsum.onnx"
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    assert cli.run(["predict", str(path), "--home", str(home)]) == 0
    assert "0 (not counted: Einsum)" in capsys.readouterr().out


def truncated(path: Path) -> None:
    path.write_bytes(chain(3, [4, 32])[:900])


def outside(path: Path) -> None:
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["w"], ["y"])],
            "g",
            [],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
            [numpy_helper.from_array(np.zeros(2, np.float32), "w")],
        )
    )
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")
    path.write_bytes(made.SerializeToString())


def opset_of_the_future(path: Path) -> None:
    path.write_bytes(
        helper.make_model(
            helper.make_graph(
                [helper.make_node("Relu", ["x"], ["y"])],
                "g",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
            ),
            opset_imports=[helper.make_opsetid("", 99)],
        ).SerializeToString()
    )


BAD = {
    "empty": (lambda p: p.write_bytes(b""), 3, "is empty"),
    "random": (lambda p: p.write_bytes(os.urandom(4000)), 3, "not a"),
    "pickle": (lambda p: p.write_bytes(b"\x80\x04K\x01."), 3, "pickle"),
    "truncated": (truncated, 3, "not an ONNX model"),
    "missing": (lambda p: None, 3, "No such file"),
    "folder": (lambda p: p.mkdir(), 2, "folder without any .onnx file; it is empty"),
    "pipe": (os.mkfifo, 3, "no regular file"),
    "external": (outside, 3, "outside the folder"),
    "operator": (lambda p: p.write_bytes(chain(1, [4, 32], "Magic", "com.acme")), 3, "lacks this operator"),
    "standard operator": (lambda p: p.write_bytes(chain(1, [4, 32], "Magic")), 3, "lacks this operator"),
    "opset": (opset_of_the_future, 3, "too old for the file"),
    "shape": (lambda p: p.write_bytes(chain(1, ["words", 32])), 2, "--shape x=1,32"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "bench"])
@pytest.mark.parametrize("case", BAD)
def test_bad_models_get_one_message(
    case: str, command: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, code, says = BAD[case]
    path = tmp_path / "bad.onnx"
    make(path)
    page = tmp_path / "page.html"
    options = ["--html", str(page)] if command == "predict" else []
    assert cli.run([command, str(path), "--home", str(home), *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    messages = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1
    assert says in messages[0]
    assert "bad.onnx" in messages[0]
    assert "Traceback" not in err
    assert not page.exists()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--target", "hots"], 2, "did you mean 'host'"),
        (["--target", "host-2-threads"], 2, "hwnas profile --target host-2-threads"),
        (["--shape", "x"], 2, "NAME=SIZE"),
        (["--shape", "y=1,2"], 2, "no input 'y'; known: x"),
        (["--kernels-from", "tarot"], 2, "unknown source of kernels 'tarot'"),
        (["--kernels-from", "layout rule"], 3, "no layout rule"),
    ],
)
def test_what_cannot_be_predicted(
    options: list[str], code: int, says: str, home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", str(model), "--home", str(home), *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err


def test_a_damaged_predictor_gives_no_number(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = home.rglob("predictor.json")
    path.write_text(path.read_text().replace("0.05", "0.06"))
    assert cli.run(["predict", str(model), "--home", str(home)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "predictor.json" in err


def test_predictors_are_listed_shown_and_travel(
    home: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["tables", "list", "--home", str(home), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["table"] == f"host/{device_context(HOST, '').hash}/predictor"
    assert (row["state"], row["mape_pct"]) == ("ok", 4.5)
    assert cli.run(["tables", "show", "predictor", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernels_by_kind"] == {"matmul weights": 70}
    archive, other = tmp_path / "host.hwnas", tmp_path / "other"
    assert cli.run(["tables", "export", "host", "--out", str(archive), "--home", str(home)]) == 0
    assert cli.run(["tables", "export", "host", "--out", str(archive), "--home", str(home)]) == 2
    capsys.readouterr()
    assert cli.run(["tables", "import", str(archive), "--home", str(other), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["table"], document["context"]["target_threads"]) == (row["table"], 1)
    answers = []
    for place in (home, other):
        assert cli.run(["predict", str(model), "--home", str(place), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]


HEAVY = ["torch", "pandas", "sklearn", "scipy", "onnx", "skl2onnx", "plotly", "optuna"]


@pytest.mark.slow
def test_predicting_loads_nothing_heavy(home: Path, model: Path) -> None:
    code = (
        "import cli, json, sys; code = cli.run(sys.argv[1:]); "
        f"print(code, sorted(set(sys.modules) & set({HEAVY})), file=sys.stderr)"
    )
    line = [sys.executable, "-c", code, "predict", str(model), "--home", str(home), "--breakdown"]
    line += ["--html", str(home / "page.html")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "0 []"


def test_bench_tells_memory_and_why_there_is_no_energy(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    memory = {"kind": "memory", "load_ms": 5.0, "first_run_ms": 1.5, "peak_bytes": 64e6, "file_bytes": 2e6}

    def alone(target: Any, models: Any, kinds: Any, **_: Any) -> Any:
        asked.append(tuple(kinds))
        rows = {"memory": memory, "energy": {"kind": "energy", "unavailable": "rapl: no such folder"}}
        return {name: {kind: rows[kind] for kind in kinds} for name in models}

    row = lut.Measurement(0.5, 0.6, 0.9, 0.58, 0.62, "cpu", "ok", 50)
    monkeypatch.setattr(lut, "measure_resources", alone)
    monkeypatch.setattr(lut, "measure", lambda target, models, **_: dict.fromkeys(models, row))
    assert cli.run(["bench", str(model), "--home", str(home), "--energy"]) == 0
    out, err = capsys.readouterr()
    assert "rapl: no such folder" in err
    heading, values = (line.split() for line in out.splitlines()[:2])
    shown = dict(zip(heading, values, strict=True))
    assert {k: shown[k] for k in ("load_ms", "first_run_ms", "peak_mb", "file_mb", "energy_mj")} == {
        "load_ms": "5",
        "first_run_ms": "1.5",
        "peak_mb": "64",
        "file_mb": "2",
        "energy_mj": "unavailable",
    }
    assert cli.run(["bench", str(model), "--home", str(home), "--no-memory"]) == 0
    assert asked == [("memory", "energy")]


@pytest.mark.slow
def test_memory_is_measured_in_processes_of_their_own(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", str(model), "--home", str(home), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["models"][str(model)]["memory"]
    assert row["file_bytes"] == model.stat().st_size
    assert row["peak_bytes"] > row["baseline_bytes"] > 10e6
    assert row["load_ms"] > 0


def test_a_partial_profile_is_called_so_by_every_command(
    home: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = lut.load_predictor(HOST, home).stored
    partial = {**stored.errors, "networks_asked": 72, "networks_measured": 10}
    replace(stored, errors=partial).save(predictor_folder(home, HOST, stored.context.hash))
    says = "partial: 10 of 72 networks"
    printed = {}
    for command in ("tables list", "tables show host:predictor", f"predict {model}", "doctor"):
        assert cli.run([*command.split(), "--home", str(home)]) == 0
        out, err = capsys.readouterr()
        assert says in out + err
        assert cli.run([*command.split(), "--home", str(home), "--json"]) == 0
        printed[command.split()[0]] = json.loads(capsys.readouterr().out)
    assert printed["tables"]["state"] == says
    assert printed["predict"]["profile"]["state"] == says
    assert "`hwnas profile` measures the others" in printed["predict"]["profile"]["notes"][0]
    assert [text for text in printed["doctor"]["warnings"] if says in text]


def test_profile_of_a_device(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def profile(target: Any, **options: Any) -> Any:
        asked.update(options, target=target)
        return lut.load_predictor(target, home).stored

    monkeypatch.setattr(lut, "profile_device", profile)
    assert cli.run(["profile", "--home", str(home), "--seed", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == {"mape_pct": 4.5}
    assert (asked["target"], asked["minutes"], asked["seed"], asked["start_from"]) == (HOST, 5.0, 3, [])
    assert cli.run(["profile", "--home", str(home), "--start-from", "host", "--minutes", "1"]) == 0
    out = capsys.readouterr().out
    assert "errors.mape_pct" in out and "kernels_by_kind" not in out and "context" not in out
    assert cli.run(["tables", *out.splitlines()[-1].split()[-2:], "--home", str(home)]) == 0
    assert "kernels_by_kind.matmul weights" in capsys.readouterr().out
    assert [one.date for one in asked["start_from"]] == ["2026-01-02"]


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (TargetError("unstable: two halves differ by 20 %"), 4, "error: unstable: two halves differ by 20 %"),
        (KeyboardInterrupt(), 130, "stopped; go on with: the same command; what is measured stays"),
    ],
)
def test_profiles_that_end_early(
    error: BaseException,
    code: int,
    last: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def profile(target: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(lut, "profile_device", profile)
    monkeypatch.setattr("hwnas.commands.interrupted.ways", [])
    assert cli.run(["profile", "--home", str(home)]) == code
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", last)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("profile --image-size 64 --classes 3", "--image-size, --classes: only networks of a space"),
        ("profile --space mobile --start-from host", "--start-from"),
        ("profile --start-from nothing", "no table matches"),
    ],
)
def test_profiles_that_make_no_sense(
    line: str, says: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*line.split(), "--home", str(home)]) == 2
    assert says in capsys.readouterr().err
