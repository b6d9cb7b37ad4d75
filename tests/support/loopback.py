"""A real ssh server on the loopback, with throw-away keys, and a line to it that breaks when told.

With it this machine is its own far device. Everything lies in one folder; no file of the user is read or
written.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from targets import Reach


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """An ssh server: where it listens, and the folder of its keys."""

    port: int
    folder: Path

    @property
    def identity(self) -> Path:
        """The user's private key."""
        return self.folder / "user"

    @property
    def known_hosts(self) -> Path:
        """The keys of servers that the client accepts."""
        return self.folder / "known_hosts"

    def reach(self, folder: Path, port: int | None = None) -> Reach:
        """How to get there, with this very interpreter; folder: where files go. port: of a line to it."""
        return Reach(
            transport="ssh",
            host="127.0.0.1",
            port=port or self.port,
            identity=str(self.identity),
            known_hosts=str(self.known_hosts),
            connect_timeout_s=60,
            python=sys.executable,
            folder=str(folder),
        )

    def know(self, port: int) -> None:
        """Write the server's key into known_hosts for this port of the loopback."""
        key = (self.folder / "host.pub").read_text().split()
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")


def make_key(path: Path) -> None:
    """A new key pair, `path` and `path`.pub, without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def loopback_server(folder: Path) -> Iterator[Server]:
    """An ssh server for this user, up while the context lasts; its keys and its home are `folder`."""
    server = prepared_server(folder)
    with running(server) as process:
        yield server
        process.terminate()


def prepared_server(folder: Path) -> Server:
    """Keys and configuration of a server that does not run yet."""
    server = Server(free_port(), folder)
    make_key(folder / "host")
    make_key(folder / "user")
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    server.know(server.port)
    (folder / "config").write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPasswordAuthentication no\nStrictModes no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\nMaxStartups 100\n"
        f"UseDNS no\nKexAlgorithms curve25519-sha256\nSetEnv HOME={folder}\n"
    )
    return server


def running(server: Server) -> subprocess.Popen[bytes]:
    """The process of the server, which listens; as a context manager it waits for its end."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists():
        raise RuntimeError("there is no sshd here: apt-get install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)  # where Debian's sshd drops its privileges
    log = server.folder / "log"
    process = subprocess.Popen([program, "-D", "-f", str(server.folder / "config"), "-E", str(log)])
    while not _answers(server.port):
        if process.poll() is not None:
            raise RuntimeError(f"sshd did not start: {log.read_text()}")
    return process


def pull_the_plug(process: subprocess.Popen[bytes]) -> None:
    """Kill a server with all that it has begun, as a board dies whose power goes."""
    for pid in (process.pid, *_descendants(process.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _descendants(pid: int) -> list[int]:
    with suppress(OSError):
        children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*children, *(p for child in children for p in _descendants(child))]
    return []


class Line:
    """Connections to the server that break when `limit` more bytes have come from there, None: never.

    silent: neither side is told. n_cuts: how often it has happened. port: where the line begins.
    """

    def __init__(self, server: Server) -> None:
        """Listens from now on."""
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
        """No connection is taken any more, and those that are open end."""
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
        with (
            suppress(ConnectionError),  # one of the two was killed
            near,
            socket.create_connection(("127.0.0.1", self._server.port)) as far,
        ):
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
