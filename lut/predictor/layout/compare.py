"""How well emulated kernels match those that ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from profilers.kernels import Kernel

Kernels = Sequence[Kernel]

_KEY_ATTRIBUTES: Mapping[str, Any] = {
    "strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1, "activation": "", "axis": 1,
    "perm": None, "scales": None, "channels": None, "channels_last": 0, "ceil_mode": 0, "mode": "nearest",
}  # fmt: skip
"""Attributes that tell kernels apart, and the values that onnxruntime writes out or leaves out at will."""


@dataclass(frozen=True)
class Fidelity:
    """How many kernels of one network or several match: they agree in operation, shapes and key attributes.

    n_kernels: real ones, or emulated where these are more.
    share, macs_share: of kernels that match, each counting alike, and weighted by their work.
    missing, invented: signatures of the real and of the emulated kernels that match none.
    """

    n_kernels: int
    share: float
    macs_share: float
    missing: tuple[str, ...]
    invented: tuple[str, ...]


def fidelity(pairs: Iterable[tuple[Kernels, Kernels]]) -> Fidelity:
    """Compare (emulated, real) kernels."""
    n = matched = macs = macs_matched = 0
    missing: list[str] = []
    invented: list[str] = []
    for emulated, real in pairs:
        ours, theirs = (Counter(map(signature, kernels)) for kernels in (emulated, real))
        work = {signature(kernel): kernel_macs(kernel) for kernel in (*emulated, *real)}
        n += max(ours.total(), theirs.total())
        matched += (ours & theirs).total()
        macs += sum(work[key] * count for key, count in (ours | theirs).items())
        macs_matched += sum(work[key] * count for key, count in (ours & theirs).items())
        missing += [str(key) for key in (theirs - ours).elements()]
        invented += [str(key) for key in (ours - theirs).elements()]
    return Fidelity(
        n_kernels=n,
        share=matched / max(n, 1),
        macs_share=macs_matched / max(macs, 1),
        missing=tuple(missing),
        invented=tuple(invented),
    )


def fidelity_table(networks: Mapping[str, tuple[Kernels, Kernels]]) -> str:
    """A line per network, (emulated, real) kernels by name, and one for all of them."""
    lines = [f"{'network':32}{'kernels':>9}{'match %':>9}{'by MACs %':>11}"]
    rows = {name: [pair] for name, pair in networks.items()}
    for name, pairs in {**rows, "all": list(networks.values())}.items():
        f = fidelity(pairs)
        lines.append(f"{name:32}{f.n_kernels:9}{100 * f.share:9.2f}{100 * f.macs_share:11.2f}")
    return "\n".join(lines)


def signature(kernel: Kernel) -> Hashable:
    """What makes two kernels the same for a model of their time."""
    inputs = tuple(tuple(argument) for argument in kernel.inputs if argument.role != "none")
    outputs = tuple(argument.shape for argument in kernel.outputs)
    attributes = kernel.attributes
    key = tuple(
        (name, str(attributes[name]))
        for name, default in _KEY_ATTRIBUTES.items()
        if name in attributes and attributes[name] not in (default, None)
    )
    return kernel.domain, kernel.op, inputs, outputs, key


def kernel_macs(kernel: Kernel) -> int:
    """Multiply-accumulates of convolutions and matrix products; 0 for the rest."""
    weights = [a.shape for a in kernel.inputs if a.role == "weight" and len(a.shape) >= 2]
    if not weights or not kernel.outputs:
        return 0
    written = prod(kernel.outputs[0].shape)
    if "Conv" in kernel.op:
        return written * prod(weights[0][1:])
    return written * weights[0][0] if "Gemm" in kernel.op or "MatMul" in kernel.op else 0
