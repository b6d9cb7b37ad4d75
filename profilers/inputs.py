"""What a network is fed: the values or ranges that its file carries, noise for all other inputs.

The file carries them as an entry of its metadata (`model_props` of ONNX), so that they travel with it to any
device: JSON, `{"ids": {"shape": [1, 128], "low": 0, "high": 99}, "rate": {"npy": "…"}}`.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from targets.errors import DamagedFileError, TargetError

from .limits import available_bytes

METADATA = "hwnas.inputs"
"""Key of the entry."""

_TYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(uint32)": "uint32",
    "tensor(int32)": "int32",
    "tensor(uint64)": "uint64",
    "tensor(int64)": "int64",
    "tensor(string)": "object",
}
"""Types that numpy has."""

_BITS: Mapping[str, tuple[int, str]] = {
    "tensor(bfloat16)": (16, "uint16"),
    "tensor(float8e4m3fn)": (17, "uint8"),
    "tensor(float8e4m3fnuz)": (18, "uint8"),
    "tensor(float8e5m2)": (19, "uint8"),
    "tensor(float8e5m2fnuz)": (20, "uint8"),
    "tensor(uint4)": (21, "uint8"),
    "tensor(int4)": (22, "uint8"),
    "tensor(float4e2m1)": (23, "uint8"),
    "tensor(float8e8m0)": (24, "uint8"),
    "tensor(uint2)": (25, "uint8"),
    "tensor(int2)": (26, "uint8"),
}
"""Types that numpy lacks: TensorProto.DataType, and the numpy type that holds their bits.

Those of less than 8 bits are packed, so that the runtime needs fewer bytes than it gets.
"""

_BITS_OF_8 = 0x38
"""1 or 0.5 in each of the floating-point formats of 8 bits."""

HIGHEST = 7
"""The highest of the whole numbers that an input gets of which the file does not say more."""


def make_feeds(name: str, session: ort.InferenceSession, seed: int) -> dict[str, Any]:
    """A value for every input, arrays or OrtValues; the same seed gives the same values.

    DamagedFileError for types that cannot be fed and shapes that are open. TargetError where the inputs need
    more memory than is free; nothing is allocated then.
    """
    said = read_inputs(session)
    shapes = {value.name: _shape(name, value, said) for value in session.get_inputs()}
    for value in session.get_inputs():
        if value.type not in _TYPES and value.type not in _BITS:
            known = ", ".join([*_TYPES, *_BITS])
            raise DamagedFileError(
                f"{name}: input {value.name!r} is {value.type}, which cannot be fed; known: {known}. "
                "Export the network with tensors of these types as inputs"
            )
    _check_memory(name, session, shapes)
    rng = np.random.default_rng(seed)
    return {
        value.name: _value(value.type, shapes[value.name], said.get(value.name, {}), rng)
        for value in session.get_inputs()
    }


def read_inputs(session: ort.InferenceSession) -> dict[str, Any]:
    """What the file of the session says of its inputs, by name; {} where it says nothing."""
    try:
        said = json.loads(session.get_modelmeta().custom_metadata_map.get(METADATA, "{}"))
        return {str(name): dict(entry) for name, entry in said.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"the entry {METADATA} of a model file is damaged ({error})") from None


def fetches(session: ort.InferenceSession) -> bool:
    """Whether numpy has the types of all inputs and outputs, so that values can be handed over as arrays."""
    kinds = [value.type for value in (*session.get_inputs(), *session.get_outputs())]
    return all(kind in _TYPES or not kind.startswith("tensor(") for kind in kinds)


def guessed(session: ort.InferenceSession) -> str:
    """The inputs that were fed numbers of our choice and may not take any number, for a message."""
    said = read_inputs(session)
    return ", ".join(
        f"{value.name!r} {described(said.get(value.name, {}))}"
        for value in session.get_inputs()
        if value.type not in ("tensor(float)", "tensor(float16)", "tensor(double)")
        and "npy" not in said.get(value.name, {})
    )


def described(entry: Mapping[str, Any]) -> str:
    """`0 to 7`, or the numbers themselves where they are few."""
    if "values" in entry:
        values = entry["values"]
        return " ".join(map(str, values[:4])) + (" …" if len(values) > 4 else "")
    return f"{entry.get('low', 0)} to {entry.get('high', HIGHEST)}"


def _shape(name: str, value: Any, said: Mapping[str, Any]) -> tuple[int, ...]:
    shape = said.get(value.name, {}).get("shape", value.shape)
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise DamagedFileError(
            f"{name}: input {value.name} has shape {value.shape}; export it with fixed sizes"
        )
    return tuple(shape)


def _check_memory(name: str, session: ort.InferenceSession, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse inputs, and outputs of known size, that alone need more memory than is free."""
    free = available_bytes()
    if free is None:
        return
    sizes = {f"input {key!r}": (shape, _bytes_each(session, key)) for key, shape in shapes.items()}
    for value in session.get_outputs():
        shape = value.shape or ()
        if isinstance(value.type, str) and value.type in _TYPES and all(isinstance(n, int) for n in shape):
            sizes[f"output {value.name!r}"] = (tuple(shape), np.dtype(_TYPES[value.type]).itemsize)
    for what, (shape, each) in sizes.items():
        needed = math.prod(shape) * each
        if needed > free:
            raise TargetError(
                f"{name}: {what} of {' x '.join(map(str, shape))} needs {needed / 1e9:.1f} GB of memory, "
                f"{free / 1e9:.1f} GB are free; take smaller sizes, or free memory on the device"
            )


def _bytes_each(session: ort.InferenceSession, name: str) -> int:
    kind = next(value.type for value in session.get_inputs() if value.name == name)
    return int(np.dtype(_TYPES[kind] if kind in _TYPES else _BITS[kind][1]).itemsize)


def _value(kind: str, shape: tuple[int, ...], entry: Mapping[str, Any], rng: np.random.Generator) -> Any:
    if "npy" in entry:
        array = np.load(io.BytesIO(base64.b64decode(entry["npy"])), allow_pickle=False)
        return _as_type(np.broadcast_to(array, shape), kind)
    if "values" in entry:
        return _as_type(np.resize(np.array(entry["values"]), shape), kind)
    if kind in _BITS and kind != "tensor(bfloat16)":
        return _ort_value(np.full(shape, _BITS_OF_8, np.uint8), kind)
    if kind == "tensor(bfloat16)" or np.dtype(_TYPES[kind]).kind == "f":
        return _as_type(rng.standard_normal(shape), kind)
    low, high = entry.get("low", 0), entry.get("high", HIGHEST)
    return _as_type(rng.integers(low, high + 1, shape), kind)


def _as_type(array: Any, kind: str) -> Any:
    """The array as the runtime takes a value of this type."""
    if kind == "tensor(bfloat16)":  # the upper half of a float
        bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32) >> 16
        return _ort_value(bits.astype(np.uint16), kind)
    if kind == "tensor(string)":
        return array.astype(str).astype(object)
    if kind == "tensor(bool)":
        return np.ascontiguousarray(array) % 2 == 1 if array.dtype.kind in "iu" else array.astype(bool)
    if kind in _BITS:
        return _ort_value(np.ascontiguousarray(array, dtype=_BITS[kind][1]), kind)
    return np.ascontiguousarray(array, dtype=_TYPES[kind]).reshape(array.shape)


def _ort_value(bits: Any, kind: str) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _BITS[kind][0])
