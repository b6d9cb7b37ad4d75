"""What was measured on devices, and what is predicted from it.

`devices` runs jobs and returns rows, `tables` keeps what the blocks of a search space cost, `predictor`
predicts any ONNX file. `measure_files` measures ONNX files as they are. Networks arrive as keys and ONNX
bytes, so no torch is needed here. How a network is timed lives in `profilers`, what a device is in
`targets`, what is searched in `hwnas`.
"""

from lut.devices.measurement import Measurement
from lut.predictor.device_predictor import DevicePredictor, load_predictor
from lut.predictor.latency_predictor import LatencyPredictor, Prediction
from lut.predictor.profile import profile_device
from lut.tables.build import space_table
from lut.tables.networks import TableBlock, TableNetwork
from lut.tables.table import SpaceTable

from .measure_files import measure, measure_kernels, measure_resources

__all__ = [
    "DevicePredictor",
    "LatencyPredictor",
    "Measurement",
    "Prediction",
    "SpaceTable",
    "TableBlock",
    "TableNetwork",
    "load_predictor",
    "measure",
    "measure_kernels",
    "measure_resources",
    "profile_device",
    "space_table",
]
