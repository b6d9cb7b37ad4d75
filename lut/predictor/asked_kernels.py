"""The kernels of a network on this machine, from one run in a process of its own.

Whatever the network does there ends that process alone: it may never end, need more memory than there is, or
crash the runtime.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import profilers
from profilers.kernels import Kernel
from targets import Target
from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError
from targets.transport import Local, Output, execute

LIMIT_S = 90.0
"""For loading and one run; a network that takes longer cannot be measured either."""

_CODE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from profilers.kernels_child import main; "
    "sys.exit(main(sys.argv[1:]))"
)


class CannotRunError(TargetError):
    """The network never ends, ends the runtime or needs too much memory: to ask otherwise does not help."""


_ERRORS: Mapping[int, type[HwnasError]] = {2: UsageError, 3: DamagedFileError, 4: CannotRunError}


def kernels_here(data: bytes, target: Target, name: str, limit_s: float = LIMIT_S) -> list[Kernel]:
    """Load the network under the target's options and run it once; kernels in order of execution.

    DamagedFileError and UsageError where it cannot be loaded or run, TargetError where this machine cannot.
    """
    from profilers.session import check_provider  # loads onnxruntime

    check_provider(target)
    root = Path(profilers.__file__ or "").resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="hwnas-network-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        said = json.dumps(target.to_json())
        command = [sys.executable, "-c", _CODE, str(root), name, str(path), said]
        try:
            output = execute(Local(), command, timeout_s=limit_s)
        except TargetError:
            raise CannotRunError(
                f"target {target.name}: {name} did not end within {limit_s:.0f} s of running once; a loop in "
                "it may have no end. Feed it other values with --input, or leave it out"
            ) from None
    if output.code != 0:
        raise _failure(output, target, name)
    return [Kernel.from_json(values) for values in json.loads(output.stdout.splitlines()[-1])]


def _failure(output: Output, target: Target, name: str) -> HwnasError:
    errors = [line for line in output.stderr.splitlines() if line.startswith("error: ")]
    if errors:
        return _ERRORS.get(output.code, CannotRunError)(errors[-1].removeprefix("error: "))
    how = f"signal {-output.code}" if output.code < 0 else f"code {output.code}"
    last = output.stderr.splitlines()[-1] if output.stderr else "it said nothing"
    return CannotRunError(
        f"target {target.name}: {name} ended the runtime with {how} ({last}); feed it other values with "
        "--input, or leave it out"
    )
