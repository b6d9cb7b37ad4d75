"""What *was* measured: latency tables, scikit-learn predictors, calibration and their files.

Networks arrive as keys and ONNX bytes (`Part`, `Whole`), so no torch is needed here. How a network is
timed lives in `profilers`, what a device is in `targets`, what is searched in `hwnas`.
"""

from .build import space_table
from .device import Measurement
from .exported import measure
from .networks import Part, Whole
from .table import SpaceTable

__all__ = ["Measurement", "Part", "SpaceTable", "Whole", "measure", "space_table"]
