"""What networks cost on the target: predicted kernel by kernel, and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lut
from hwnas.exporting.export import onnx_bytes
from hwnas.shrinking.latency import kernel_times
from lut.predictor.asked_kernels import KernelProcess
from targets import Target

if TYPE_CHECKING:
    from torch import nn

    from lut import DevicePredictor, Measurement


@dataclass(frozen=True)
class Costing:
    """The target with its predictor. process: runs networks of this machine once, to see their kernels."""

    target: Target
    home: Path
    predictor: DevicePredictor
    input_shape: Sequence[int]
    log: Callable[[str], None]
    process: KernelProcess = field(default_factory=KernelProcess)

    def times(self, module: nn.Module) -> dict[str, float]:
        """Predicted milliseconds by kernel."""
        return kernel_times(self.predictor.predict(self._file(module), log=self.log, process=self.process))

    def measured(self, modules: Mapping[str, nn.Module]) -> dict[str, Measurement]:
        """Side by side."""
        files: dict[str, Any] = {name: self._file(module) for name, module in modules.items()}
        return lut.measure(self.target, files, home=self.home, log=self.log)

    def _file(self, module: nn.Module) -> bytes:
        return onnx_bytes(module, (1, *self.input_shape))
