"""How well emulated kernels match those that ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

Kernels = Sequence[Mapping[str, Any]]

_KEY_ATTRIBUTES: Mapping[str, Any] = {
    **{"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1, "activation": ""},
    **{"axis": 1, "perm": None, "scales": None, "channels": None},
    **{"channels_last": 0, "ceil_mode": 0, "mode": "nearest"},
}
"""Attributes that tell kernels apart, and the values that onnxruntime writes out or leaves out at will."""


@dataclass(frozen=True)
class Fidelity:
    """Of one network or several. share: of kernels that match; macs_share: weighted by their work.

    A kernel matches one of the same operation, shapes and key attributes. missing, invented: signatures of
    the real and of the emulated kernels that match none.
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
        a, b = (Counter(map(signature, kernels)) for kernels in (emulated, real))
        work = {signature(kernel): kernel_macs(kernel) for kernel in (*emulated, *real)}
        n += max(a.total(), b.total())
        matched += (a & b).total()
        macs += sum(work[key] * count for key, count in (a | b).items())
        macs_matched += sum(work[key] * count for key, count in (a & b).items())
        missing += [str(key) for key in (b - a).elements()]
        invented += [str(key) for key in (a - b).elements()]
    return Fidelity(n, matched / max(n, 1), macs_matched / max(macs, 1), tuple(missing), tuple(invented))


def fidelity_table(networks: Mapping[str, tuple[Kernels, Kernels]]) -> str:
    """A line per network, (emulated, real) kernels by name, and one for all of them."""
    lines = [f"{'network':32}{'kernels':>9}{'match %':>9}{'by MACs %':>11}"]
    rows = {name: [pair] for name, pair in networks.items()}
    for name, pairs in {**rows, "all": list(networks.values())}.items():
        found = fidelity(pairs)
        lines.append(f"{name:32}{found.n_kernels:9}{100 * found.share:9.2f}{100 * found.macs_share:11.2f}")
    return "\n".join(lines)


def signature(kernel: Mapping[str, Any]) -> Hashable:
    """What makes two kernels the same for a model of their time."""
    inputs = tuple((role, kind, tuple(shape)) for role, kind, shape in kernel["inputs"] if role != "none")
    outputs = tuple(tuple(shape) for _, _, shape in kernel["outputs"])
    attributes = kernel["attributes"]
    key = tuple(
        (name, str(attributes[name]))
        for name, default in _KEY_ATTRIBUTES.items()
        if name in attributes and attributes[name] not in (default, None)
    )
    return kernel["domain"], kernel["op"], inputs, outputs, key


def kernel_macs(kernel: Mapping[str, Any]) -> int:
    """Multiplications and additions of convolutions and matrix products; 0 for the rest."""
    weights = [shape for role, _, shape in kernel["inputs"] if role == "weight" and len(shape) >= 2]
    if not weights or not kernel["outputs"]:
        return 0
    written = int(prod(kernel["outputs"][0][2]))
    if "Conv" in kernel["op"]:
        return written * int(prod(weights[0][1:]))
    return written * int(weights[0][0]) if "Gemm" in kernel["op"] or "MatMul" in kernel["op"] else 0
