"""Boards and servers, through the user's own ssh.

It never asks for a password and never accepts a host key: BatchMode, and known hosts only. Addresses, users
and keys may stand in ~/.ssh/config instead of in the target file.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from .errors import ConnectionLostError, TargetError
from .reach import Reach
from .transport import NOT_FOUND, Output

_SSH_FAILED = 255
"""Exit code of ssh itself; any other comes from the command."""

ALIVE_EVERY_S, ALIVE_TRIES = 5, 3
_ASK_S = 10.0

_FAULTS = (
    (
        ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "host key is known for"),
        "its host key is not the one that is known. Compare the fingerprint with the device's own "
        "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then connect once by hand: ssh {address}; "
        "a key that changed is removed with ssh-keygen -R {host}. hwnas accepts no key by itself",
    ),
    (
        ("Permission denied", "Too many authentication failures", "no mutual signature"),
        "it does not let this user in without a password. Install your key with ssh-copy-id {address}, load "
        "it into ssh-agent, or set reach.user and reach.identity",
    ),
    (
        (
            "Bad configuration option",
            "Bad owner or permissions",
            "not accessible: No such file",
            "bad permissions",
        ),
        "ssh cannot use its own files here; correct what it names",
    ),
    (
        ("Could not resolve hostname",),
        "the name {host!r} is unknown. Set reach.host to its address, or add the name to ~/.ssh/config",
    ),
)
"""Messages of ssh on standard error, and what to do. None of these faults passes by itself."""


@dataclass(frozen=True)
class Ssh:
    """A device that ssh reaches. `name` is the target's, for messages."""

    name: str
    reach: Reach

    def wrap(self, command: Sequence[str]) -> list[str]:
        """`ssh OPTIONS -- HOST 'COMMAND'`; the shell of the device splits the quoted line again."""
        reach = self.reach
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "ConnectTimeout": str(reach.connect_timeout_s),
            "ConnectionAttempts": "1",
            "ServerAliveInterval": str(ALIVE_EVERY_S),
            "ServerAliveCountMax": str(ALIVE_TRIES),
            "ClearAllForwardings": "yes",
        }
        if reach.known_hosts:
            options["UserKnownHostsFile"] = f'"{reach.known_hosts}"'  # in quotes: ssh splits at spaces
        if reach.identity:
            options["IdentitiesOnly"] = "yes"
        arguments = ["ssh", "-T"]
        for key, value in options.items():
            arguments += ["-o", f"{key}={value}"]
        for flag, value in (("-p", str(reach.port or "")), ("-l", reach.user), ("-i", reach.identity)):
            arguments += [flag, value] if value else []
        return [*arguments, "--", reach.host, shlex.join(command)]

    def fault(self, output: Output) -> TargetError | None:
        """Why ssh itself failed; ConnectionLostError where another try may help."""
        where = f"target {self.name}: {self.reach.address}"
        if output.code == NOT_FOUND and output.stderr == "ssh: not found":
            return TargetError(
                f"target {self.name}: the program ssh is not on this machine; install it (Debian: apt-get "
                "install openssh-client)"
            )
        if output.code >= 0 and output.code != _SSH_FAILED:
            return None
        lines = output.stderr.splitlines()
        for marks, advice in _FAULTS:
            if any(mark in output.stderr for mark in marks):
                message = next(line for line in lines if any(mark in line for mark in marks))
                advice = advice.format(address=self.reach.address, host=self.reach.host)
                return TargetError(f"{where} cannot be used: {advice} (ssh: {message})")
        message = lines[-1].strip().removeprefix("ssh: ") if lines else f"it ended with code {output.code}"
        return ConnectionLostError(
            f"{where} cannot be reached (ssh: {message}). Is it switched on and in the same network, "
            "and is its ssh server running?"
        )


@cache
def resolved(reach: Reach) -> str:
    """Host name and port as ssh's configuration has them, without asking the network."""
    given = ["-p", str(reach.port)] if reach.port else []
    known = {"hostname": reach.host, "port": str(reach.port or 22)}
    try:
        done = subprocess.run(
            ["ssh", "-G", *given, "--", reach.host],
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # without ssh there will be no connection either
        return f"{known['hostname']}:{known['port']}"
    words = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    known.update((pair[0], pair[1]) for pair in words if len(pair) == 2 and pair[0] in known)
    return f"{known['hostname']}:{known['port']}"
