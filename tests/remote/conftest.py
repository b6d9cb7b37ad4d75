"""A device behind a real ssh server on this machine, with throw-away keys, and a line to it to cut."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from targets import Target, load_target
from tests.support.loopback import Line, Server, loopback_server


def conv_net(channels: int, weights: int = 0) -> bytes:
    """A convolution with `channels` outputs on 8x8 pixels; weights: floats that only make the file larger."""
    rng = np.random.default_rng(channels)
    tensors = [numpy_helper.from_array(rng.standard_normal((channels, 4, 3, 3)).astype(np.float32), "w")]
    if weights:
        tensors.append(numpy_helper.from_array(rng.standard_normal(weights).astype(np.float32), "unused"))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 8, 8])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with loopback_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def board(sshd: Server, tmp_path: Path) -> Target:
    """This machine as a board behind ssh, with a folder of its own and this very interpreter."""
    return replace(load_target("host"), name="board", reach=sshd.reach(tmp_path / "board"))


@pytest.fixture
def line(sshd: Server) -> Iterator[Line]:
    made = Line(sshd)
    yield made
    made.close()


@pytest.fixture(scope="session")
def lean_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The interpreter of an environment that holds only the packages named, by links to those installed."""

    def make(*packages: str) -> str:
        folder = tmp_path_factory.mktemp("lean")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        (site,) = (folder / "lib").glob("python*/site-packages")
        for package in packages:
            module = __import__(package)
            here = Path(module.__file__ or "").parent
            for part in (here, here.with_name(f"{package}.libs")):
                if part.exists():
                    (site / part.name).symlink_to(part)
        return str(folder / "bin" / "python")

    return make


@pytest.fixture
def net() -> Callable[..., bytes]:
    return conv_net
