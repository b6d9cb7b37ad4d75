"""Starts the processes of one training by `torchrun`, hears how far they are, and ends them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError
from targets.files import write_json
from targets.own_process import own_environment

_END_S = 20.0
_ERRORS: Mapping[int, type[HwnasError]] = {2: UsageError, 3: DamagedFileError, 4: TargetError}


def run_processes(
    n: int,
    module: str,
    job_file: Path,
    job: Mapping[str, Any],
    *arguments: str,
    name: str,
    on_step: Callable[[int, int], None],
    log: Callable[[str], None],
) -> None:
    """Let `n` processes of this machine do a job together, to its end.

    What they raise of our errors, this raises; whatever ends this call ends them.

    Args:
        n: how many.
        module: what each runs, by `rank_process.take_part`.
        job_file: where the job is for them to read; it goes when the job is done.
        job: as JSON values.
        arguments: of the module, after the file.
        name: of the job in messages.
        on_step: called with (steps done, all steps) now and then; may raise.
        log: called with what they warn of.
    """
    write_json(job_file, dict(job))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [*command, "-m", module, str(job_file), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
            env=_environment(),
            start_new_session=True,  # Ctrl-C goes to this process, which ends the others
        )
        try:
            failure = _listen(process.stdout, on_step, log)
            code = process.wait() if failure is None else 1  # torchrun may wait minutes for the others
        finally:
            _end(process)
        if failure is not None:
            raise failure
        if code != 0:
            raise HwnasError(f"the processes of {name} ended with code {code}: {_last_words(complaints)}")
    job_file.unlink()


def _listen(
    lines: IO[str] | None, on_step: Callable[[int, int], None], log: Callable[[str], None]
) -> HwnasError | None:
    """Tell the callbacks; the first error of a process, as soon as it is heard, None without one."""
    for line in lines or ():
        event = json.loads(line)
        if event["event"] == "step":
            on_step(event["done"], event["total"])
        elif event["event"] == "log":
            log(event["text"])
        else:
            return _ERRORS.get(event["exit_code"], HwnasError)(event["reason"])
    return None


def _environment() -> dict[str, str]:
    """That of this process; the processes find this hwnas, and talk on the loopback alone."""
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    loopback = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return {**loopback, **own_environment(), **threads}


def _end(process: subprocess.Popen[str]) -> None:
    """Closing the input ends the processes; torchrun ends with them."""
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _last_words(complaints: IO[bytes]) -> str:
    """Of a process, not of torchrun, which prints a report of its own after them."""
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if "Error" in line and "elastic" not in line]
    return (errors or lines or ["it said nothing"])[-1]
