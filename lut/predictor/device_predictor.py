"""`lut.load_predictor(target).predict(model)`: an ONNX file to its cost, through the kernels it becomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lut.devices.callbacks import LogCallback
from lut.devices.device import run_rows
from lut.home import data_home
from lut.predictor.models.input_metadata import fed_notes, fixed, inputs_of, with_inputs
from lut.predictor.models.model_file import read_model
from lut.predictor.models.quantise import as_run
from profilers import Timing
from profilers.graph import read_graph
from profilers.kernels import Kernel, row_kernels
from targets import Int8Form, Target, load_target
from targets.errors import DamagedFileError, TargetError, UsageError, did_you_mean

from .asked_kernels import CannotRunError, KernelProcess
from .latency_predictor import LatencyPredictor, Prediction
from .layout import HOST_GRAPH, LayoutRule, apply_rule
from .profile import stored_predictor

SOURCES = ("auto", "target", "layout rule")
_ASK_S = 30.0


@dataclass(frozen=True)
class DevicePredictor:
    """The predictor of a target with the way to it: it takes ONNX files and finds out their kernels.

    `LatencyPredictor`, its part `stored`, estimates kernels that are known and never talks to the device.
    """

    target: Target
    stored: LatencyPredictor

    def predict(
        self,
        model: Path | bytes,
        *,
        name: str = "the network",
        kernels_from: str = "auto",
        log: LogCallback = lambda _: None,
        process: KernelProcess | None = None,
    ) -> Prediction:
        """What the network costs on the target.

        model: an ONNX file, or its bytes.
        name: of a model that is given as bytes, for messages.
        kernels_from: `target` runs it there once, to see which kernels it becomes; `layout rule` works them
            out here; `auto` asks the target where it answers.
        log: is told where the target was asked and did not answer.
        process: runs networks of this machine, one after the other; None for a new one.

        DamagedFileError for a file that is no network, UsageError for one without fixed shapes, TargetError
        where the target was asked for and does not answer.
        """
        if kernels_from not in SOURCES:
            raise UsageError(
                f"unknown source of kernels {kernels_from!r}; {did_you_mean(kernels_from, SOURCES)}"
            )
        if not isinstance(model, bytes):
            name, model = str(model), read_model(Path(model))
        data = self.as_deployed(name, model)
        with process or KernelProcess() as here:
            kernels, source = self._kernels(name, data, kernels_from, log, here)
        estimate = self.stored.estimate(kernels, source, len(data))
        return replace(estimate, notes=(*estimate.notes, *fed_notes(data)))

    def as_deployed(self, name: str, data: bytes) -> bytes:
        """The file in the precision of the target, quantised in the form of the profile; int8 files stay."""
        read_graph(data, name)  # refuses what is no network
        if self.target.precision != "int8":
            return data
        sized = fixed(data)
        run = as_run(sized, self.target, name=name, form=Int8Form.from_facts(self.stored.context.facts))
        return data if run == sized else with_inputs(run, inputs_of(data))

    def _kernels(
        self, name: str, data: bytes, kernels_from: str, log: LogCallback, here: KernelProcess
    ) -> tuple[list[Kernel], str]:
        if kernels_from == "layout rule":
            return self._by_rule(name, data, here), "layout rule"
        try:
            return self._on_target(name, data, log, here), "target"
        except CannotRunError:
            raise
        except TargetError as error:
            if kernels_from == "target" or self.stored.rule is None:
                raise
            log(f"{error}; its kernels are worked out here")
            return self._by_rule(name, data, here), "layout rule"

    def _on_target(self, name: str, data: bytes, log: LogCallback, here: KernelProcess) -> list[Kernel]:
        if self.target.reach.transport == "local" and not self.target.reach.python:
            return here.kernels(data, self.target, name)
        once = Timing(_ASK_S, min_rounds=4, max_rounds=4)
        rows = run_rows(self.target, {name: data}, once, log, kinds={name: ("kernels",)})
        if not rows:
            raise TargetError(f"target {self.target.name}: it did not run {name} within {_ASK_S:.0f} s")
        return row_kernels(rows[0])

    def _by_rule(self, name: str, data: bytes, here: KernelProcess) -> list[Kernel]:
        if self.stored.rule is None:
            raise DamagedFileError(
                f"the profile of {self.target.name} has no layout rule; ask the target for the kernels"
            )
        return apply_rule(here.kernels(data, HOST_GRAPH, name), LayoutRule.from_json(self.stored.rule))


def load_predictor(target: Target | str | Path, home: Path | str | None = None) -> DevicePredictor:
    """The predictor that `hwnas profile` made of the target; UsageError where there is none.

    target: a name, a TOML file, or a target.
    home: where predictors lie; None: HWNAS_HOME, else the user's data folder.

    >>> import lut
    >>> prediction = lut.load_predictor("host").predict(Path("model.onnx"))
    >>> f"{prediction.latency_ms:.2f} ms by {len(prediction.layers)} kernels"
    '0.37 ms by 4 kernels'
    """
    target = target if isinstance(target, Target) else load_target(target)
    return DevicePredictor(target, stored_predictor(data_home(home), target))
