"""The files that a float network becomes: as it is, in half precision, in 8 bits, in the runtime's format.

A variant is a row of `VARIANTS`. What makes it, what it is compared by and when it is rejected stand here and
in `check.py`; that a target runs it well is measured, never assumed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from lut.predictor.models.quantise import front_nodes, quantised, quiet
from targets import Int8Form, Target
from targets.errors import DamagedFileError, TargetError, UsageError, did_you_mean

from .compact import compact

CalibrationImages = Callable[[], Iterable[Mapping[str, Any]]]
"""Batches of training images by the name of the input; a new run through them at each call."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a variant is made from.

    model: the float network as an ONNX file.
    form: of int8 networks on the target; None where it has none.
    calibration: None where there are no images.
    target: whose files are made.
    aware: float networks after each epoch of quantisation-aware training; None where none is asked for.
    """

    model: bytes
    form: Int8Form | None
    calibration: CalibrationImages | None
    target: Target
    aware: Callable[[], Iterable[bytes]] | None = None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to store a network.

    name: on the command line and in the manifest. file: its name in the folder.
    does: what it is, in a phrase.
    tolerance: largest difference of an output from that of the float file, relative to the largest output or
        1, whichever is larger; None where only the accuracy says whether it is good.
    off_elsewhere: how far the answers of another CPU may be off, likewise relative.
    make: the bytes of the file. beside: what goes with it, from its bytes: content by name.
    packed_after: whether preprocessing is put around the converted network, not converted with it.
    keeps_promise: whether layers are left in float until its accuracy is good enough (`promise.py`).
    """

    name: str
    file: str
    does: str
    tolerance: float | None
    off_elsewhere: float
    make: Callable[[Making], bytes]
    beside: Callable[[bytes], dict[str, bytes]] = lambda content: {}
    packed_after: bool = False
    keeps_promise: bool = False


def half(making: Making) -> bytes:
    """Weights and arithmetic of 16 bits; inputs and outputs stay float32, so that apps feed the same."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load_model_from_string(making.model)
    with quiet():  # a warning for every weight below the smallest number of 16 bits
        converted = convert_float_to_float16(
            model, keep_io_types=True, node_block_list=list(front_nodes(making.model))
        )
    return tagged(converted.SerializeToString(), making.model, "fp16")


def int8(making: Making) -> bytes:
    """Weights and activations of 8 bits (QDQ), scales from training images."""
    if making.form is None or making.calibration is None:
        raise UsageError(_NO_IMAGES)
    content = compact(
        quantised(making.model, making.form, making.calibration(), floats=front_nodes(making.model))
    )
    return tagged(content, making.model, "int8")


def runtime_format(making: Making) -> bytes:
    """Onnxruntime's own format, which its smallest builds read; optimised for any CPU.

    The optimisation that suits one kind of CPU only (`NchwcTransformer`) is left to the device.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory(prefix="hwnas-ort-") as folder:
        path = Path(folder, "model.ort")
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        options.add_session_config_entry("session.save_model_format", "ORT")
        try:
            ort.InferenceSession(
                making.model,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["NchwcTransformer"],
            )
        except Exception as error:  # onnxruntime raises its own classes, one per status code
            raise DamagedFileError(f"cannot be stored in the format ORT: {error}") from error
        return path.read_bytes()


def operator_config(content: bytes) -> dict[str, bytes]:
    """The operators that a file of the runtime's format needs, as its `build.sh` reads them."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    with tempfile.TemporaryDirectory(prefix="hwnas-ort-") as folder:
        path, config = Path(folder, "model.ort"), Path(folder, OPERATOR_CONFIG)
        path.write_bytes(content)
        with quiet():  # it leaves its file open, and tells of what it does
            create_config_from_models([path], config, enable_type_reduction=False)
        lines = config.read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if not line.startswith("#")]  # the comment names a temporary folder
    return {OPERATOR_CONFIG: "\n".join(["# Operators of model.ort", *listed, ""]).encode()}


OPERATOR_CONFIG = "required_operators.config"

_NO_IMAGES = "int8 takes its scales from training images, and there are none; give them with --data"

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            name="fp32",
            file="model.onnx",
            does="the float network",
            tolerance=0.0,
            off_elsewhere=1e-3,
            make=lambda m: m.model,
        ),
        Variant(
            name="fp16",
            file="model.fp16.onnx",
            does="half precision",
            tolerance=1e-2,
            off_elsewhere=2e-2,
            make=half,
        ),
        Variant(
            name="int8",
            file="model.int8.onnx",
            does="8 bits",
            tolerance=None,
            off_elsewhere=1e-1,
            make=int8,
            packed_after=True,  # the quantiser takes floats
            keeps_promise=True,
        ),
        Variant(
            name="ort",
            file="model.ort",
            does="the float network in onnxruntime's format",
            tolerance=1e-4,
            off_elsewhere=1e-3,
            make=runtime_format,
            beside=operator_config,
        ),
    )
}
"""By name, in the order in which they are made."""

_ON_PROVIDER = {"coreml": ("fp16",), "qnn": ("fp16",), "cuda": ("fp16",), "tensorrt": ("fp16",)}
"""What a provider runs better than fp32; on a CPU 16 bits are converted at each operator."""

_NO_INT8 = ("coreml",)
"""Providers that run the nodes of a quantised file elsewhere."""


def default_variants(target: Target) -> tuple[str, ...]:
    """What suits the target: the float file, and what its precision, provider and reach ask for.

    >>> from targets import load_target
    >>> default_variants(load_target("host")), default_variants(load_target("host-int8"))
    (('fp32',), ('fp32', 'int8'))
    """
    names = ["fp32", *_ON_PROVIDER.get(target.provider, ())]
    if target.precision == "int8":
        names.append("int8")
    if target.reach.transport == "adb":
        names.append("ort")
    return tuple(names)


def wanted_variants(names: Sequence[str], target: Target, *, has_images: bool) -> tuple[Variant, ...]:
    """The rows of these names, fp32 first: all others are compared with it. Empty: the default of the target.

    UsageError for unknown ones; TargetError where the target cannot run one.
    """
    chosen = tuple(names) or default_variants(target)
    for name in chosen:
        if name not in VARIANTS:
            raise UsageError(f"unknown variant {name!r}; {did_you_mean(name, VARIANTS)}")
    if "int8" in chosen and target.provider in _NO_INT8:
        raise TargetError(
            f"target {target.name}: provider {target.provider} has no int8 kernels, so that a quantised file "
            "would run on the CPU; leave out int8, fp16 is what that provider runs"
        )
    if "int8" in chosen and not has_images:
        raise UsageError(_NO_IMAGES)
    return tuple(variant for name, variant in VARIANTS.items() if name in chosen or name == "fp32")


def tagged(model: bytes, source: bytes, precision: str) -> bytes:
    """The file with the metadata of its source and its own precision."""
    loaded = onnx.load_model_from_string(model)
    props = {p.key: p.value for p in onnx.load_model_from_string(source).metadata_props}
    onnx.helper.set_model_props(loaded, {**props, "precision": precision})
    return bytes(loaded.SerializeToString())
