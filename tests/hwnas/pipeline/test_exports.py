"""`hwnas export`: from each kind of source to files that are compared, scored, measured and listed."""

from __future__ import annotations

import html
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image

import cli
from hwnas.exporting.export import onnx_bytes
from hwnas.exporting.manifest import read_manifest
from hwnas.exporting.variants import VARIANTS, Making
from hwnas.training.known import build_known
from targets.errors import DamagedFileError
from tests.support.exports import (
    CELL,
    SIZE,
    digits,
    fake_costs,
    independent_accuracy,
    network,
    trained_state,
    two_inputs,
    write_search,
    write_weights,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one source of each kind, and a home."""
    here = tmp_path_factory.mktemp("sources")
    write_search(here / "run", here / "home")
    write_weights(here / "weights.safetensors")
    shutil.copy(here / "run/models/n1/model.onnx", here / "ours.onnx")
    # The same network as another tool writes it: no metadata, names of its own.
    foreign = onnx_bytes(network(trained_state()), (1, 1, 16, 16), input_name="data", output_name="scores")
    (here / "foreign.onnx").write_bytes(foreign)
    (here / "two.onnx").write_bytes(two_inputs())
    return here


@pytest.fixture(autouse=True)
def _here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(made / "home"))


def exported(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    code = cli.run(["export", *map(str, arguments), "--quiet", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def variants(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {record["name"]: record for record in document["variants"]}


def test_every_variant_scores_as_an_independent_script_says_and_is_measured(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = exported(
        capsys, made / "run", "--as", "fp32,fp16,int8,ort", "--max-drop", "0.05", "--out", "out"
    )
    good = variants(document)
    assert list(good) == list(VARIANTS) and document["rejected"] == []
    data = digits(made / "home")
    for record in good.values():
        file = Path("out") / record["file"]
        assert record["size_bytes"] == file.stat().st_size
        for split in ("val", "test"):
            assert record[f"{split}_accuracy"] == pytest.approx(independent_accuracy(file, data, split))
        assert record["latency_p50_ms"] > 0 and record["load_ms"] > 0 and record["peak_bytes"] > 1e6
    assert good["fp32"]["check"]["max_difference"] == 0
    assert good["fp16"]["check"]["snr_db"] > 40 and good["ort"]["check"]["snr_db"] > 80
    session = ort.InferenceSession("out/model.fp16.onnx", providers=["CPUExecutionProvider"])
    assert (
        session.get_inputs()[0].type == "tensor(float)"
        and good["fp16"]["size_bytes"] < 0.62 * good["fp32"]["size_bytes"]
    )
    assert (
        document["measured"]["target"]["name"] == "host"
        and "ort_version" in document["measured"]["context"]["facts"]
    )
    cuts = {cut["provider"]: cut for cut in document["partitions"]}
    assert cuts["qnn"]["partitions"] == 1 and cuts["qnn"]["fallen_out"] == {}
    config = Path("out/required_operators.config").read_text().splitlines()
    assert any(line.startswith("ai.onnx;") and "Gemm" in line for line in config)
    page = Path("out/export.html").read_text()
    assert all(record["file"] in page for record in good.values()) and "<script" not in page
    assert read_manifest(Path("out")) == {k: v for k, v in document.items() if k != "folder"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    return fake_costs(monkeypatch, {"int8": 1.5})


@pytest.mark.parametrize(
    "source",
    [
        ("run",),
        ("run/n1",),
        ("run/models/n1",),
        ("ours.onnx", "--data", "digits"),
        ("foreign.onnx", "--data", "digits"),
        (CELL, *SIZE, "--weights", "weights.safetensors", "--data", "digits"),
    ],
    ids=lambda source: " ".join(source)[:20],
)
def test_each_kind_of_source_has_the_accuracy_of_the_network(
    source: tuple[str, ...], made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(made / word) if (made / word.split("/")[0]).exists() else word for word in source]
    good = variants(exported(capsys, *words, "--as", "fp32,ort"))
    data = digits(made / "home")
    for name in ("fp32", "ort"):
        expected = independent_accuracy(made / "ours.onnx", data, "test")
        assert good[name]["test_accuracy"] == pytest.approx(expected)
    assert asked == [["fp32", "ort"]]


def test_the_folder_of_a_training_is_a_source(
    made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--genotype", CELL, *SIZE, "--data", "digits", "--limit", "300", "--epochs", "1"]
    assert cli.run([*train, "--batch-size", "32", "--out", "trained", "--quiet", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    document = exported(capsys, "trained", "--as", "fp32")
    assert variants(document)["fp32"]["test_accuracy"] == pytest.approx(trained["test_accuracy"])
    assert document["source"]["kind"] == "a training"


def test_a_network_of_a_library_is_a_source(
    asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    _photos(Path("photos"))
    module = build_known("torchvision:shufflenet_v2_x0_5", 2).eval()
    torch.save(module.state_dict(), "weights.pt")
    given = ["--data", "photos", "--image-size", "32", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]
    source = ["torchvision:shufflenet_v2_x0_5", "--weights", "weights.pt", *given]
    document = exported(capsys, *source, "--as", "fp32", "--out", "out")
    assert document["source"]["kind"] == "a network of torchvision"
    assert document["input"]["mean"] == [0.5, 0.5, 0.5]
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    session = ort.InferenceSession("out/model.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(session.run(None, {"image": x})[0], expected, atol=1e-4)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_with_preprocessing_the_labels_are_those_of_the_plain_file_on_all_test_images(
    layout: str, made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        "--as",
        "fp32,fp16,int8,ort",
        "--max-drop",
        "0.05",
        "--with-preprocessing",
        layout,
        "--out",
        "out",
    )
    document = exported(capsys, made / "run", *line)
    good = variants(document)
    assert list(good) == list(VARIANTS)
    assert [good[name]["label_disagreements"] for name in ("fp32", "ort")] == [0, 0]
    data = digits(made / "home")
    plain = ort.InferenceSession(str(made / "ours.onnx"), providers=["CPUExecutionProvider"])
    packed = ort.InferenceSession("out/model.onnx", providers=["CPUExecutionProvider"])
    for index in data.split("test"):
        pixels = data.images([index]).numpy()
        x = ((pixels / 255 - data.mean[0]) / data.std[0]).astype(np.float32)
        given = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)) if layout == "nhwc" else pixels
        labels = (plain.run(None, {"image": x})[0].argmax(), packed.run(None, {"pixels": given})[0].argmax())
        assert labels[0] == labels[1]
    assert document["input"]["input_layout"] == f"{layout.upper()} uint8"


def test_an_onnx_file_without_images_is_compared_on_noise(
    made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    good = variants(exported(capsys, made / "two.onnx", "--as", "fp16,ort"))
    assert list(good) == ["fp32", "fp16", "ort"]
    assert good["fp16"]["check"]["fed"] == "noise" and "val_accuracy" not in good["fp16"]


def test_int8_that_is_slower_is_called_so(
    made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    document = exported(capsys, made / "run", "--as", "int8", "--max-drop", "1", "--out", "loose")
    assert document["findings"] == [
        "int8 is slower than fp32 on this target: 1.5 against 1 ms; use fp32 there."
    ]


def spoilt(making: Making) -> bytes:
    """The network with its last weights turned round: it is sure of the wrong digits."""
    model = onnx.load_model_from_string(making.model)
    last = next(w for w in model.graph.initializer if w.name == model.graph.node[-1].input[1])
    last.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(last), last.name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("tolerance", "why"), [(0.01, "its outputs differ"), (None, "(--max-drop)")])
def test_a_file_that_is_no_good_is_set_aside_and_never_listed_as_good(
    tolerance: float | None,
    why: str,
    made: Path,
    asked: list[list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = replace(VARIANTS["fp16"], make=spoilt, tolerance=tolerance)
    monkeypatch.setitem(VARIANTS, "fp16", row)
    document = exported(capsys, made / "run", "--as", "fp16", "--out", "spoilt")
    (record,) = document["rejected"]
    assert record["file"] == "model.fp16.onnx.rejected" and Path("spoilt", record["file"]).is_file()
    assert why in record["rejected"] and not Path("spoilt/model.fp16.onnx").exists()
    assert list(variants(document)) == ["fp32"]
    assert [name for name in document["files"] if name.startswith("model")] == ["model.onnx"]
    assert document["findings"] == [f"fp16 is rejected: {record['rejected']}."]
    assert asked == [["fp32"]]  # nobody measures it
    assert why in html.unescape(Path("spoilt/export.html").read_text())


def test_a_second_call_does_nothing_again_and_a_changed_file_is_noticed(
    made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = (made / "run", "--as", "fp32,ort", "--out", "twice")
    first = exported(capsys, *line)
    assert exported(capsys, *line) == first and len(asked) == 1
    assert cli.run(["export", str(made / "run"), "--as", "fp32", "--out", "twice"]) == 2
    assert "holds another run" in capsys.readouterr().err
    path = Path("twice/model.ort")
    path.write_bytes(path.read_bytes() + b"x")
    assert cli.run(["export", *map(str, line), "--quiet"]) == 3
    assert "model.ort is not as stage 'ort' left it" in capsys.readouterr().err
    with pytest.raises(DamagedFileError, match=r"model\.ort is missing or not as it was exported"):
        read_manifest(Path("twice"))


def test_what_was_made_before_a_stop_stays(
    made: Path, asked: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import lut

    measure = lut.measure
    monkeypatch.setattr(lut, "measure", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    line = ["export", str(made / "run"), "--as", "fp32,fp16", "--out", "cut"]
    assert cli.run(line) == 130
    assert "go on with: the same command" in capsys.readouterr().err
    assert not Path("cut/manifest.json").exists()
    before = Path("cut/model.fp16.onnx").stat().st_mtime_ns
    monkeypatch.setattr(lut, "measure", measure)
    assert cli.run([*line, "--quiet"]) == 0
    assert Path("cut/model.fp16.onnx").stat().st_mtime_ns == before and Path("cut/manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no/such/thing"], 2, "no file or folder here, and a genotype needs --weights"),
        (["photos"], 2, "is nothing that can be exported; give a run"),
        (["weights.safetensors"], 3, "is a safetensors file"),
        (["run/n2"], 2, "no exported network 'n2'; known: n1"),
        (["run", "--data", "digits"], 2, "a run says itself what --data would say"),
        (["run", "--as", "fp8"], 2, "unknown variant 'fp8'; known: fp16"),
        (["run", "--as", ","], 2, "--as names no file"),
        (["run", "--as", "fp32", "--qat"], 2, "no int8 file is asked for"),
        (["run", "--target", "hots"], 2, "did you mean 'host'"),
        (["run", "--max-drop", "2"], 2, "--max-drop is 2"),
        (["ours.onnx", "--as", "int8"], 2, "int8 takes its scales from training images"),
        (["run", "--as", "int8", "--target", "coreml.toml"], 4, "provider coreml has no int8 kernels"),
        (["two.onnx", "--with-preprocessing", "nhwc"], 2, "two reads a [1, 1, 16, 16], b [1, 1, 16, 16]"),
        (["foreign.onnx", "--with-preprocessing", "nhwc"], 2, "give --mean and --std, or leave out"),
        (["run", "--with-preprocessing", "nhcw"], 2, "did you mean 'nhwc'"),
        (["two.onnx", "--data", "digits"], 2, "has the inputs a [1, 1, 16, 16], b [1, 1, 16, 16]"),
        (["open.onnx"], 2, "has an open shape"),
        (["open.onnx", "--shape", "image=1,1,16"], 2, "has 4 axes"),
        (
            ["ours.onnx", "--data", "digits", "--image-size", "32"],
            2,
            "give the images that it was trained on",
        ),
        (
            ["ours.onnx", "--data", "photos"],
            2,
            "x 16 x 16 (channels, height, width), the images of photos are 3",
        ),
        (["seven.onnx", "--data", "digits"], 2, "answers for 7 classes, and the list has 10"),
        (["other.onnx", "--data", "digits"], 2, "the classes of other are a, b"),
        (["foreign.onnx", "--data", "digits", "--mean", "0.5,0.5"], 2, "--mean has 2 numbers"),
        (["foreign.onnx", "--data", "digits", "--mean", "half"], 2, "--mean must be numbers"),
        (["timm:", "--weights", "w.pt", "--data", "photos"], 2, "'timm:' is no model; give torchvision:NAME"),
        (["torchvision:resnet18"], 2, "torchvision:resnet18 needs --weights: nothing is fetched"),
        (["torchvision:resnet81"], 2, "torchvision has no model 'resnet81'"),
        (["timm:resnet18", "--weights", "weights.safetensors"], 2, "timm:resnet18 needs --data"),
        (
            ["torchvision:resnet18", "--weights", "weights.safetensors", "--data", "photos"],
            3,
            "the weights are not those of resnet18",
        ),
        ([CELL, *SIZE, "--weights", "weights.safetensors"], 2, "give those of its training with --data"),
        ([CELL, *SIZE, "--weights", "gone", "--data", "digits"], 2, "give a safetensors file"),
        (
            [CELL, *SIZE, "--channels", "4", "--weights", "weights.safetensors", "--data", "digits"],
            3,
            "are not those of this network",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_input_is_one_message_and_leaves_nothing(
    arguments: list[str], code: int, message: str, odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path for path in odd.rglob("*")}
    words = [str(odd / word) if (odd / word.split("/")[0]).exists() else word for word in arguments]
    assert cli.run(["export", *words, "--out", str(odd / "out")]) == code
    out, err = capsys.readouterr()
    last = err.splitlines()
    assert (
        out == ""
        and message in err
        and "Traceback" not in err
        and last[-1].startswith(("error: ", "warning"))
    )
    left = {path for path in odd.rglob("*")} - before
    assert not [path for path in left if "cache" not in path.parts]


@pytest.fixture(scope="module")
def odd(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of sources, and files that something is wrong with."""
    here = tmp_path_factory.mktemp("odd") / "here"
    shutil.copytree(made, here)
    whole = onnx.load(here / "ours.onnx")
    whole.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(whole, here / "open.onnx")
    other = onnx.load(here / "ours.onnx")
    props = {p.key: p.value for p in other.metadata_props} | {"class_names": '["a", "b"]'}
    onnx.helper.set_model_props(other, props)
    onnx.save(other, here / "other.onnx")
    seven = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(1, 7))
    (here / "seven.onnx").write_bytes(onnx_bytes(seven, (1, 1, 16, 16)))
    host = Path(cli.__file__).parent / "targets/known/host.toml"
    text = host.read_text().replace('"cpu"  ', '"coreml"  ').replace('"host"', '"mac"')
    (here / "coreml.toml").write_text(text)
    _photos(here / "photos")
    return here


def _photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / label / f"{i}.png")
