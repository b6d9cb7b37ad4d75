"""Kernels as a profile describes them, for tests that need no session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from profilers.kernels import Argument, Kernel


def activation(*shape: int, element_type: str = "float") -> Argument:
    return Argument("activation", element_type, shape)


def weight(*shape: int, element_type: str = "float") -> Argument:
    return Argument("weight", element_type, shape)


def kernel(
    op: str,
    inputs: Sequence[Argument],
    outputs: Sequence[Argument],
    *,
    domain: str = "",
    name: str = "",
    reads: Sequence[str] = (),
    writes: Sequence[str] = (),
    results: Sequence[str] = (),
    **attributes: Any,
) -> Kernel:
    return Kernel(
        op=op,
        domain=domain,
        name=name or op,
        provider="CPUExecutionProvider",
        attributes=attributes,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        reads=tuple(reads),
        writes=tuple(writes),
        results=tuple(results),
        parameter_bytes=sum(argument.size_bytes for argument in inputs if argument.role == "weight"),
    )
