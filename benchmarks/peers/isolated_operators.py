"""A table of operators that were measured alone, one by one, and summed: the usual latency table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from lut.devices.callbacks import LogCallback
from profilers.kernels import Kernel
from targets import Target

from . import one_operator
from .common import Peer, UntimedNetwork, summed
from .isolated_models import isolated_ms


def models(networks: Iterable[UntimedNetwork]) -> dict[str, Callable[[], bytes | None]]:
    """key -> writes the file of one operator, None where there can be none; every distinct operator once."""
    kernels = (kernel for network in networks for kernel in network.kernels)
    operators = (operator for kernel in kernels for operator in one_operator.operators(kernel))
    distinct = {one_operator.key(operator): operator for operator in operators}
    return {key: partial(one_operator.onnx_bytes, operator) for key, operator in distinct.items()}


def fit(table_ms: Mapping[str, float]) -> Peer:
    """The peer of a table; an operator that is not in it adds nothing, and its kernel counts as unknown."""

    def latency_ms(kernel: Kernel) -> float | None:
        keys = [one_operator.key(operator) for operator in one_operator.operators(kernel)]
        return sum(table_ms[key] for key in keys) if all(key in table_ms for key in keys) else None

    return Peer(summed(latency_ms))


def measured(
    networks: Iterable[UntimedNetwork], target: Target, seconds: float, log: LogCallback, seed: int = 0
) -> Peer:
    """The peer of a table that is measured now, for the operators of these networks."""
    files = models(networks)
    table_ms = isolated_ms(target, files, seconds, log, seed)
    missing = Counter(key.rpartition("-")[0] for key in files if key not in table_ms)
    if missing:
        log("operators without a time: " + ", ".join(f"{n} {op}" for op, n in missing.most_common()))
    return fit(table_ms)
