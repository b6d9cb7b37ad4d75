"""A capture for machines without a GPU: it fails where a replay would not have been the same step.

A CUDA graph repeats its kernels on the addresses and with the floats of the recording. So each call of the
dispatcher is written down, with the shapes, the floats and the places of what it read. A replay runs the
function again and compares. What reads a value back to the host is refused, as a recording does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

T = TypeVar("T")

_aten = torch.ops.aten
HOST_READS = frozenset(
    {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique_dim", "_unique2"}
)
"""Operations whose result, or its shape, is known on the host only once the device is done."""


class NotTheSameError(AssertionError):
    """A replay would have been another step than the one that was to be made."""


def leaves(value: Any) -> Iterator[Any]:
    """What is in tuples, lists and dicts."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        yield from leaves(list(value.items()))
    else:
        yield value


class Trace(TorchDispatchMode):
    """The calls of a function. alive: all that they touched, so that no address comes twice."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self._made: dict[int, int] = {}
        self._held: set[int] = set()
        self.alive: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Write the call down, and make it."""
        if func.namespace == "profiler":  # names for a profiler
            return func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in HOST_READS:
            raise RuntimeError(f"{name} reads from the device")
        self.calls.append((str(func), *map(self._told, leaves((args, kwargs or {})))))
        result = func(*args, **(kwargs or {}))
        for tensor in leaves(result):
            if isinstance(tensor, Tensor):
                self.alive.append(tensor)
                place = tensor.untyped_storage().data_ptr()
                if place not in self._held:
                    self._made.setdefault(place, len(self.calls))
        return result

    def _told(self, value: Any) -> Any:
        if isinstance(value, torch.Generator):  # each call has a new object of the same one
            return "generator"
        if not isinstance(value, Tensor):
            return value
        self.alive.append(value)
        place = value.untyped_storage().data_ptr()
        form = (tuple(value.shape), value.stride(), value.dtype, value.storage_offset())
        if place in self._made:
            return (*form, "made by call", self._made[place])
        self._held.add(place)
        return (*form, "at", place)


class TraceCapture:
    """`graphed.Capture` on a CPU. recorded: how many functions; replays: how often they ran again."""

    def __init__(self) -> None:
        self.recorded = self.replays = 0

    def warm_up(self, run: Callable[[], T]) -> T:
        """As it is."""
        return run()

    def record(self, run: Callable[[], T]) -> Callable[[], T]:
        """A replay runs the step, because recording alone must not change anything."""
        first = Trace()
        result: Any = None
        self.recorded += 1

        def replay() -> Any:
            nonlocal result
            if result is None:
                with first:
                    result = run()
                return result
            self.replays += 1
            again = Trace()
            with again:
                new = run()
            _require_same(first.calls, again.calls)
            for name in ("loss", "accuracy"):  # a graph writes its results to the same place
                getattr(result, name).copy_(getattr(new, name))
            return result

        return replay


def _require_same(recorded: list[tuple[Any, ...]], now: list[tuple[Any, ...]]) -> None:
    for i, (old, new) in enumerate(zip(recorded, now, strict=False)):
        if old != new:
            raise NotTheSameError(f"call {i + 1} was recorded as\n  {old}\nand would have to be\n  {new}")
    if len(recorded) != len(now):
        raise NotTheSameError(f"{len(recorded)} calls were recorded, and {len(now)} would have to be made")
