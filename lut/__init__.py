"""What *was* measured: latency tables, scikit-learn predictors, calibration and their files.

Networks arrive as keys and ONNX bytes (`Part`, `Whole`), so no torch is needed here. How a network is
timed lives in `profilers`, what a device is in `targets`, what is searched in `hwnas`.
"""

from .devices.device import Measurement
from .exported import measure, measure_alone, measure_kernels
from .kernels.predict import DevicePredictor, load_predictor
from .kernels.predictor import LatencyPredictor, Prediction
from .kernels.profile import profile_device
from .tables.build import space_table
from .tables.networks import Part, Whole
from .tables.table import SpaceTable

__all__ = [
    "DevicePredictor",
    "LatencyPredictor",
    "Measurement",
    "Part",
    "Prediction",
    "SpaceTable",
    "Whole",
    "load_predictor",
    "measure",
    "measure_alone",
    "measure_kernels",
    "profile_device",
    "space_table",
]
