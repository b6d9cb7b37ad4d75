"""A real PostgreSQL server of a test's own, as a user without rights, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "s3cret-of-the-test"


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest version first."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    here = shutil.which("initdb")
    return versions[0].parent if versions else Path(here).parent if here else None


PROGRAMS = _programs()


class PostgreSQL:
    """A server on a port of the loopback that asks for a password."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAMS is not None
        self._programs, self._folder = PROGRAMS, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql://team@127.0.0.1:{self.port}/postgres"
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:  # the server refuses to run as root
            user = pwd.getpwnam("postgres")
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        options = ["-D", str(folder / "data"), "-U", "team", "-A", "scram-sha-256"]
        self._run("initdb", *options, f"--pwfile={folder / 'password'}", "--no-sync")

    def start(self) -> None:
        """Take connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self._folder}"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Cut all connections, as a server that goes down does."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        who = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(
            [*who, str(self._programs / program), *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )


@contextmanager
def running(folder: Path) -> Iterator[PostgreSQL]:
    """A server that runs until the block ends."""
    server = PostgreSQL(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
