"""Static int8 quantisation of an ONNX file, in the QDQ form.

The form belongs to the target (`targets/int8_form.py`). On x64 activations are uint8: with int8 the runtime's
kernels exist for fewer operators, and EfficientNet-like networks (Sigmoid, Mul) run three times slower.
Weights are int8, symmetric; per channel they are as fast as per tensor and nearer to the float network. The
file is first optimised as at the runtime's level `basic` (Conv and BatchNormalization folded), as its makers
advise. Scales come from the samples given, else from one
batch of noise: good for latency, which they do not touch; a model to ship needs real samples.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lut.devices.device import int8_form
from profilers.graph import read_graph
from targets import Int8Form, Target
from targets.errors import DamagedFileError

from .ranges import AVERAGE, PERCENTILE, WIDEST, percentile_ranges

_SEED = 0

FRONT_END = "front/"
"""How the names of the nodes begin that prepare raw values before a network. They stay in float: they would
lose most."""


Sample = Mapping[str, Any]
"""One batch: an array of floats for each input, by its name."""


_QUANTISERS = frozenset(("QuantizeLinear", "DynamicQuantizeLinear"))


def as_run(model: bytes, target: Target, *, name: str = "the network", form: Int8Form | None = None) -> bytes:
    """The network as the target runs it, for measuring: a float one is quantised where its precision is int8.

    model: the ONNX file; one that is quantised already stays as it is.
    name: of the model, for messages.
    form: into which it is quantised; None for that of the target.
    """
    if target.precision != "int8" or any(node.op in _QUANTISERS for node in read_graph(model, name).nodes):
        return model
    form = form or int8_form(target)
    try:
        return quantised(model, form, floats=front_nodes(model))
    except DamagedFileError as error:
        raise DamagedFileError(f"{name}: {error}") from error


def front_nodes(model: bytes) -> tuple[str, ...]:
    """Names of the nodes of a network's front end (`FRONT_END`), none where it has none."""
    if FRONT_END.encode() not in model:
        return ()
    return tuple(n.name for n in read_graph(model, "the network").nodes if n.name.startswith(FRONT_END))


def quantised(
    model: bytes,
    form: Int8Form,
    samples: Iterable[Sample] = (),
    *,
    floats: Sequence[str] = (),
    ranges: str = WIDEST,
) -> bytes:
    """The int8 network of a float network with fixed shapes; the same bytes for the same arguments.

    form: types and ranges of activations and weights.
    samples: what the ranges of the tensors are taken from; none: noise.
    floats: names of nodes that stay float.
    ranges: a word of `RANGES`: from the lowest to the highest value, the moving average of the ranges of the
    batches, or the percentile that leaves out a ten-thousandth of the values.

    It takes 0.3 to 3 s of one core, by the number of nodes, and a run of the network per sample.
    DamagedFileError for what is no ONNX network, has a shape that is not fixed, or holds what the quantiser
    does not know.
    """
    with quiet(), tempfile.TemporaryDirectory(prefix="hwnas-int8-") as folder:
        prepared, finished = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        noise = _prepare(model, prepared)
        _quantise(prepared, finished, form, list(samples) or [noise], floats, ranges)
        return finished.read_bytes()


def _prepare(model: bytes, path: Path) -> dict[str, Any]:
    """Write the optimised float network; returns one batch of noise for its inputs."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    try:
        inputs = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).get_inputs()
    except Exception as error:  # onnxruntime raises its own classes, one per status code
        raise DamagedFileError(f"cannot quantise: onnxruntime does not load the network: {error}") from error
    rng = np.random.default_rng(_SEED)
    noise = {}
    for wanted in inputs:
        if wanted.type != "tensor(float)" or not all(isinstance(n, int) for n in wanted.shape):
            raise DamagedFileError(
                f"cannot quantise: input {wanted.name!r} is {wanted.type} of shape {wanted.shape}; "
                "inputs must be float32 and of fixed shape, so export the network with a fixed input size"
            )
        noise[wanted.name] = rng.standard_normal(wanted.shape, dtype=np.float32)
    return noise


def _quantise(
    source: Path,
    destination: Path,
    form: Int8Form,
    samples: Sequence[Sample],
    floats: Sequence[str],
    ranges: str,
) -> None:
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the package has no type information
        def __init__(self) -> None:
            self._samples = iter(samples)

        def get_next(self) -> Sample | None:
            return next(self._samples, None)

    try:
        inside = percentile_ranges(source, samples) if ranges == PERCENTILE else {}
        quantize_static(
            source,
            destination,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8 if form.activations == "uint8" else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=form.per_channel,
            reduce_range=form.reduced_range,
            nodes_to_exclude=list(floats),
            extra_options={
                "ActivationSymmetric": form.symmetric,
                "CalibMovingAverage": ranges == AVERAGE,
                "TensorQuantOverrides": {
                    name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
                    for name, (low, high) in inside.items()
                },
            },
        )
    except Exception as error:  # the quantiser raises whatever its parts raise
        raise DamagedFileError(f"cannot quantise: {type(error).__name__}: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log of the runtime's tools, which have one for every weight without channels."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
