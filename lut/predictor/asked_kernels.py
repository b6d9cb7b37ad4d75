"""The kernels of networks on this machine, from one run of each in a process apart.

Whatever a network does there ends that process alone: it may never end, need more memory than there is, or
crash the runtime. The next network then gets a new process.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from profilers.kernels import Kernel
from targets import Target
from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError
from targets.own_process import own_command, own_environment

LIMIT_S = 90.0
"""For loading and one run; a network that takes longer cannot be measured either."""

_KEPT_LINES = 40
_END_S = 3.0


class CannotRunError(TargetError):
    """The network never ends, ends the runtime or needs too much memory: to ask otherwise does not help."""


_ERRORS: Mapping[int, type[HwnasError]] = {2: UsageError, 3: DamagedFileError, 4: CannotRunError}


class KernelProcess:
    """A process for any number of networks; it begins with the first, and anew after one that ended it.

    As a context manager it is ended at the end of the outermost `with`.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._child: _Child | None = None
        self._depth = 0

    def kernels(self, data: bytes, target: Target, name: str) -> list[Kernel]:
        """Load the network under the target's options and run it once; kernels in order of execution.

        DamagedFileError and UsageError where it cannot be loaded or run, TargetError where this machine
        cannot.
        """
        from profilers.session import check_provider  # loads onnxruntime

        check_provider(target)
        child = self._child = self._child or _Child()
        with tempfile.TemporaryDirectory(prefix="hwnas-network-") as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(data)
            request = {"name": name, "model": str(path), "target": target.to_json()}
            try:
                answer = child.ask(request, self._limit_s)
            except BaseException:  # raised again: after Ctrl-C too, nothing is left running
                self.close()
                raise
        if answer is None:
            self._child = None
            raise CannotRunError(f"target {target.name}: {name} {child.end()}")
        if "error" in answer:
            raise _ERRORS.get(answer["exit_code"], CannotRunError)(answer["error"])
        return [Kernel.from_json(values) for values in answer["kernels"]]

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> KernelProcess:
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.close()


class _Child:
    """The process, its pipes, and what it says on standard error."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            own_command("profilers.kernels_child"),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=own_environment(),
        )
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = threading.Thread(
            target=_listen, args=(self._process.stderr, self._said), daemon=True
        )
        self._listener.start()
        self._expired_s: float | None = None

    def ask(self, request: Mapping[str, Any], limit_s: float) -> dict[str, Any] | None:
        """The answer; None where the process ended, by itself or because it took too long."""
        assert self._process.stdin is not None and self._process.stdout is not None

        def expire() -> None:
            self._expired_s = limit_s
            self._process.kill()

        guard = threading.Timer(limit_s, expire)
        guard.start()
        try:
            self._process.stdin.write(f"{json.dumps(request)}\n".encode())
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            guard.cancel()
        answer: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return answer

    def end(self) -> str:
        """End the process; returns how the network ended it, in words."""
        with suppress(OSError):  # what was still buffered for a process that is gone
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._expired_s is not None:
            return (
                f"did not end within {self._expired_s:.0f} s of running once; a loop in it may have no end. "
                "Feed it other values with --input, or leave it out"
            )
        how = f"signal {-code}" if code < 0 else f"code {code}"
        last = self._said[-1] if self._said else "it said nothing"
        return f"ended the runtime with {how} ({last}); feed it other values with --input, or leave it out"


def _listen(pipe: IO[bytes], said: deque[str]) -> None:
    with pipe:
        said.extend(text for text in (line.decode(errors="replace").rstrip() for line in pipe) if text)
