"""The form of an int8 network: the types and ranges into which it is quantised, which depend on the CPU.

The defaults are those that the documentation of `onnxruntime.quantization.quantize_static` advises
("Choosing parameters for CPU inference"). On x86 the runtime multiplies uint8 activations by int8 weights.
Without VNNI it adds two products in 16 bits (`vpmaddubsw`): 255 * 127 * 2 overflows them, and 255 * 64 * 2
does not. On ARM it multiplies int8 by int8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import UsageError, did_you_mean
from .fields import check_types

ACTIVATIONS = ("uint8", "int8")

_VNNI = frozenset(("avx512_vnni", "avx_vnni"))
_X86 = frozenset(("x86_64", "amd64", "x86", "i386", "i686"))
_FACT = "target_int8_"


@dataclass(frozen=True)
class Int8Form:
    """How float networks become int8 networks (QDQ, weights int8 and symmetric); checked when made.

    activations: `uint8` or `int8`.
    symmetric: whether the zero point of every activation is the middle of its range, 128 or 0.
    reduced_range: whether weights use 7 of their 8 bits.
    per_channel: whether each output channel of a weight has a scale of its own.

    >>> INT8_SYMMETRIC.text
    'activations int8 symmetric, weights int8 per channel'
    """

    activations: str
    symmetric: bool
    reduced_range: bool
    per_channel: bool

    def __post_init__(self) -> None:
        check_types(Int8Form, dataclasses.asdict(self))
        if self.activations not in ACTIVATIONS:
            raise UsageError(
                f"unknown activations {self.activations!r}; {did_you_mean(self.activations, ACTIVATIONS)}"
            )

    @property
    def text(self) -> str:
        """The form in words, as manifests and commands say it."""
        activations = f"{self.activations} symmetric" if self.symmetric else self.activations
        weights = "int8 in 7 bits" if self.reduced_range else "int8"
        return (
            f"activations {activations}, weights {weights} per {'channel' if self.per_channel else 'tensor'}"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What a context says of the form: the fields in which it differs from UINT8, with a prefix.

        UINT8 was the only form once, and contexts of that time say nothing of it; so their hashes stay.
        """
        return {
            f"{_FACT}{name}": value
            for name, value in dataclasses.asdict(self).items()
            if value != getattr(UINT8, name)
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Int8Form:
        """The form in the context of an int8 target."""
        return cls(
            **{name: facts.get(f"{_FACT}{name}", value) for name, value in dataclasses.asdict(UINT8).items()}
        )

    @classmethod
    def from_json(cls, values: Any) -> Int8Form:
        """The fields of a table `[quantisation]`; UsageError for anything else.

        All keys are wanted: one left out would silently mean another form on another CPU.
        """
        if not isinstance(values, Mapping):
            raise UsageError(f"quantisation must be a table of fields, got {type(values).__name__}")
        names = [field.name for field in dataclasses.fields(cls)]
        try:
            check_types(cls, values)
            missing = [name for name in names if name not in values]
            if missing:
                raise UsageError(
                    f"missing {', '.join(missing)}; the table needs all of {', '.join(names)}, or remove it "
                    "for the form that suits the CPU"
                )
            return cls(**values)
        except UsageError as error:
            raise UsageError(f"[quantisation]: {error}") from None


UINT8 = Int8Form(activations="uint8", symmetric=False, reduced_range=False, per_channel=True)
"""For x86 with VNNI."""

UINT8_REDUCED = dataclasses.replace(UINT8, reduced_range=True)
"""For x86 without VNNI, and the safe one: no kernel saturates with it."""

INT8_SYMMETRIC = Int8Form(activations="int8", symmetric=True, reduced_range=False, per_channel=True)
"""For 64-bit ARM, and for providers that know no other."""

_INT8_ONLY = frozenset(("tensorrt", "xnnpack"))
"""Providers with int8 kernels for int8 activations only. XNNPACK multiplies uint8 by uint8 or int8 by int8;
TensorRT knows symmetric int8 alone."""


def default_form(facts: Mapping[str, Any], provider: str = "cpu") -> Int8Form:
    """The form that suits the device of these facts; the safe one where they say little.

    facts: of a context; `machine` and `cpu_flags` decide.
    provider: some know one form only.

    >>> default_form({"machine": "x86_64", "cpu_flags": "avx2 avx512_vnni"}) == UINT8
    True
    """
    flags = _flags(facts)
    if provider in _INT8_ONLY or _machine(facts).startswith(("aarch64", "arm64")) or "asimddp" in flags:
        return INT8_SYMMETRIC
    return UINT8 if flags & _VNNI else UINT8_REDUCED


def check_provider(form: Int8Form, provider: str) -> None:
    """UsageError for a form for which the provider has no int8 kernels."""
    if provider not in _INT8_ONLY or (form.activations == "int8" and form.symmetric):
        return
    if provider == "xnnpack" and form.activations == "int8":
        return
    wanted = "activations = 'int8'" + (" and symmetric = true" if provider == "tensorrt" else "")
    raise UsageError(f"[quantisation]: provider {provider!r} cannot run {form.text}; set {wanted}")


def form_warning(form: Int8Form, facts: Mapping[str, Any]) -> str:
    """What is wrong with the form on the CPU of these facts; '' where nothing is known to be."""
    flags = _flags(facts)
    if _machine(facts) not in _X86 and "sse2" not in flags:
        return ""
    if form.activations == "int8" and not form.symmetric:
        return "on x86 onnxruntime computes this form in float; set symmetric = true or activations = 'uint8'"
    if form.reduced_range or flags & _VNNI:
        return ""
    return (
        "this CPU has no VNNI, so that products can saturate and answers be wrong; set reduced_range = true"
    )


def _machine(facts: Mapping[str, Any]) -> str:
    return str(facts.get("machine", "")).lower()


def _flags(facts: Mapping[str, Any]) -> set[str]:
    return set(str(facts.get("cpu_flags", "")).split())
