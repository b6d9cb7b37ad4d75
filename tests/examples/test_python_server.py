"""The example server: an image in, its class out, and one answer to what is none."""

from __future__ import annotations

import importlib.util
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import cli
from tests.support.exports import fake_costs, write_search

pytestmark = pytest.mark.slow

SERVER = Path(__file__).parents[2] / "examples/python_server/server.py"


def server_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("server", SERVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_costs(monkeypatch)
    write_search(tmp_path / "run", tmp_path / "home")
    line = ["export", str(tmp_path / "run"), "--as", "fp32", "--softmax", "--quiet"]
    assert cli.run([*line, "--with-preprocessing", "nhwc", "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with server_module().make_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_an_image_is_answered_by_its_class_and_anything_else_by_an_error(folder: Path, address: str) -> None:
    golden = json.loads((folder / "golden/expected.json").read_text())
    image = (folder / golden["image"]).read_bytes()
    with urllib.request.urlopen(address, data=image) as answer:
        said = json.load(answer)
    assert said["class"] == golden["class"]
    assert said["score"] == pytest.approx(max(golden["files"]["model.onnx"]["outputs"]), abs=1e-5)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address, data=b"no image")
    with refused.value as error:
        assert (error.code, json.load(error)) == (415, {"error": "that is no image"})


def test_it_does_not_start_where_the_golden_pair_does_not_come_out_right(folder: Path) -> None:
    path = folder / "golden/expected.json"
    golden = json.loads(path.read_text())
    golden["files"]["model.onnx"]["label"] += 1
    path.write_text(json.dumps(golden))
    with pytest.raises(SystemExit, match="golden pair"):
        server_module().make_server(folder, 0)
