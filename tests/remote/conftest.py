"""A device behind a real ssh server on this machine, with throw-away keys, and a line to it to cut."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from targets import Reach, Target, load_target


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """An ssh server: where it listens, the key it knows, the file of keys that are known of it."""

    port: int
    folder: Path

    @property
    def identity(self) -> Path:
        return self.folder / "user"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def know(self, port: int) -> None:
        """Write the server's key into known_hosts for this port of the loopback."""
        key = (self.folder / "host.pub").read_text().split()
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists():
        raise RuntimeError("these tests need an ssh server: apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    server = Server(free_port(), folder)
    make_key(folder / "host")
    make_key(folder / "user")
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    server.know(server.port)
    config = folder / "config"
    config.write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPasswordAuthentication no\nStrictModes no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n"
        f"UseDNS no\nKexAlgorithms curve25519-sha256\nSetEnv HOME={folder}\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)  # where Debian's sshd drops its privileges
    log = folder / "log"
    with subprocess.Popen([program, "-D", "-f", str(config), "-E", str(log)]) as process:
        while not answers(server.port):
            if process.poll() is not None:
                raise RuntimeError(f"sshd did not start: {log.read_text()}")
        yield server
        process.terminate()


@pytest.fixture
def board(sshd: Server, tmp_path: Path) -> Target:
    """This machine as a board behind ssh, with a folder of its own and this very interpreter."""
    reach = Reach(
        transport="ssh",
        host="127.0.0.1",
        port=sshd.port,
        identity=str(sshd.identity),
        known_hosts=str(sshd.known_hosts),
        python=sys.executable,
        folder=str(tmp_path / "board"),
    )
    return replace(load_target("host"), name="board", reach=reach)


class Line:
    """A connection to the server that breaks when `limit` more bytes have come from the device."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        server.know(self.port)
        self.limit: int | None = None
        self.silent = False
        self.n_cuts = 0
        self._closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._listener.close()

    def _serve(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(near,), daemon=True).start()

    def _forward(self, near: socket.socket) -> None:
        """Both directions until one ends or the line is cut; a silent cut leaves both sides waiting."""
        with near, socket.create_connection(("127.0.0.1", self._server.port)) as far:
            while not self._closed:
                for source in select.select([near, far], [], [], 1.0)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is far and self.limit is not None:
                        self.limit -= len(data)
                        if self.limit < 0:
                            self.limit, self.n_cuts = None, self.n_cuts + 1
                            if self.silent:
                                self._hold()
                            return
                    (far if source is near else near).sendall(data)

    def _hold(self) -> None:
        pause = threading.Event()
        while not self._closed:
            pause.wait(0.05)


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
