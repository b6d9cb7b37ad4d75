"""Networks as onnxruntime runs them: a session from frozen options, fixed inputs, one call to run.

onnxruntime falls back to the CPU in silence when a provider is missing; here that is an error, because
the number would belong to another device.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from targets import PROVIDERS, Target
from targets.errors import DamagedFileError, HwnasError, TargetError, UsageError

from .inputs import fetches, guessed, make_feeds, read_inputs
from .limits import NO_MEMORY, available_bytes

_LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "layout": getattr(
        ort.GraphOptimizationLevel, "ORT_ENABLE_LAYOUT", ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    ),
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_SOURCE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .* failed:(Fatal error: )?"
    r"|Exception during initialization: |\S+\.(cc|h):\d+ .*?was false\. (?=\S)"
    r"|\S+\.(cc|h):\d+ ([^\s(]+ )?(\S*\(.*?\)\S* (const )?(\[with .*?\] )?(?=[A-Z]))?"
)
"""`[ONNXRuntimeError] : 1 : FAIL : /a/b.cc:12 void f(int) const ` before what it has to say."""

_OPERATOR = (
    f"onnxruntime {ort.__version__} lacks this operator, or this version or type of it: replace it, or "
    "install a runtime that has it"
)
_VERSION = f"onnxruntime {ort.__version__} is too old for the file: export it with an older opset, or update"
_ADVICE = {
    "is not a registered function/op": _OPERATOR,
    "No Op registered for": _OPERATOR,
    "Could not find an implementation": _OPERATOR,
    "under development": _VERSION,
    "Unsupported model IR version": _VERSION,
}
"""Words of onnxruntime: what to do."""


class Runner:
    """One network, ready to run again and again on the same input."""

    def __init__(
        self,
        name: str,
        model: Path | bytes,
        target: Target,
        seed: int,
        *,
        profile: Path | None = None,
        save: Path | None = None,
    ) -> None:
        """Load it; TargetError when the target cannot run it as asked, DamagedFileError when nobody can.

        profile: beginning of the file of kernel times. save: where the optimised graph goes.
        """
        began = time.perf_counter()
        options = session_options(target)
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
            options.log_severity_level = 4  # of a refused file it would say that there is no profile either
        if save is not None:
            options.optimized_model_filepath = str(save)
        self._session = make_session(name, model, target, options)
        self._bound = BoundNetwork(name, self._session, seed)
        self._load_s = time.perf_counter() - began

    def run(self, times: int) -> None:
        """Run it `times` times, one after the other."""
        self._bound.run(times)

    def finish(self, n_samples: int) -> dict[str, Any]:
        """Fields of the row besides the times: how long loading took."""
        return {"load_s": self._load_s}


def session_options(target: Target) -> ort.SessionOptions:
    """The one frozen configuration of every session: measured, calibrated on and deployed."""
    options = ort.SessionOptions()
    options.graph_optimization_level = _LEVELS[target.graph_level]
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if target.spinning else "0")
    # A softmax of masked scores is full of denormals, which take a CPU ten times as long: a shifted-window
    # attention then costs 4.8 instead of 0.2 ms, depending on the numbers and not on the network.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.log_severity_level = 3
    return options


def check_provider(target: Target) -> str:
    """The full name of the target's provider; TargetError when this runtime does not have it."""
    wanted = PROVIDERS[target.provider]
    if wanted not in ort.get_available_providers():
        raise TargetError(
            f"target {target.name}: provider {target.provider} ({wanted}) is not in this onnxruntime "
            f"{ort.__version__}, which has {', '.join(ort.get_available_providers())}; "
            "install the runtime that has it, or set provider = 'cpu'"
        )
    return wanted


def make_session(
    name: str, model: Path | bytes, target: Target, options: ort.SessionOptions | None = None
) -> ort.InferenceSession:
    """A session on exactly the provider asked for."""
    wanted = check_provider(target)
    try:
        source = model if isinstance(model, bytes) else str(model)
        session = ort.InferenceSession(source, options or session_options(target), providers=[wanted])
    except Exception as error:  # onnxruntime raises its own classes, one per status code
        if any(word in f"{type(error).__name__} {error}" for word in NO_MEMORY):
            raise TargetError(
                f"{name} needs more memory to load than the device has free; take a smaller network, or free "
                "memory on the device"
            ) from None
        raise DamagedFileError(f"onnxruntime cannot load {name}: {_reason(error)}") from None
    got = session.get_providers()[0]
    if got != wanted:
        raise TargetError(
            f"target {target.name}: wanted provider {wanted}, session of {name} runs on {got}; "
            "install that runtime or set provider = 'cpu'"
        )
    return session


def _reason(error: Exception) -> str:
    """What onnxruntime says without its source files and status codes, and what to do about it."""
    text = _SOURCE.sub("", (str(error) or type(error).__name__).splitlines()[0])
    return next((f"{text}; {advice}" for sign, advice in _ADVICE.items() if sign in text), text)


class BoundNetwork:
    """A session with fixed inputs: one call runs it again."""

    def __init__(self, name: str, session: ort.InferenceSession, seed: int) -> None:
        """Make the inputs; errors as `make_feeds`."""
        self._name, self._session = name, session
        self.feeds = make_feeds(name, session, seed)
        if fetches(session):
            self._run, self._values = session.run, self.feeds
        else:  # what numpy has no type for stays where the runtime has it
            self._run, self._values = session.run_with_ort_values, _ort_values(self.feeds)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the inputs by name."""
        return {
            name: tuple(value.shape() if isinstance(value, ort.OrtValue) else value.shape)
            for name, value in self.feeds.items()
        }

    def run(self, times: int) -> None:
        """Run it `times` times, one after the other.

        TargetError where memory runs out. UsageError where the numbers that it is fed may be why it fails,
        DamagedFileError where they cannot be.
        """
        run, values = self._run, self._values
        try:
            for _ in range(times):
                run(None, values)
        except Exception as error:  # onnxruntime raises its own classes, one per status code
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> HwnasError:
        text = str(error) or type(error).__name__
        if any(word in text or word in type(error).__name__ for word in NO_MEMORY):
            free = available_bytes()
            room = "" if free is None else f"; {free / 1e9:.1f} GB are free"
            return TargetError(
                f"{self._name} needs more memory than the device has{room}: take a smaller network or "
                "smaller inputs, or free memory on the device"
            )
        if any("npy" in entry for entry in read_inputs(self._session).values()):
            return UsageError(
                f"onnxruntime cannot run {self._name} on the numbers given: {_reason(error)}; give others "
                "with --input, or leave them to be chosen"
            )
        guesses = guessed(self._session)
        if guesses:
            return UsageError(
                f"onnxruntime cannot run {self._name}: {_reason(error)}. Its inputs that are whole numbers "
                f"were {guesses}: give values that fit, --input NAME=VALUE,… or --input NAME=FILE.npz"
            )
        return DamagedFileError(
            f"onnxruntime cannot run {self._name}: {_reason(error)}; check its inputs (--shape, --input), "
            "or export it again"
        )


def _ort_values(feeds: Mapping[str, Any]) -> dict[str, ort.OrtValue]:
    return {
        name: value if isinstance(value, ort.OrtValue) else ort.OrtValue.ortvalue_from_numpy(value)
        for name, value in feeds.items()
    }


def runtime_facts() -> dict[str, Any]:
    """What this runtime is, for the context of a table."""
    return {
        "ort_version": ort.__version__,
        "ort_build": ort.get_build_info(),
        "numpy": np.__version__,
    }
