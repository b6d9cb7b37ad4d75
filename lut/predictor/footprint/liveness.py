"""Which tensors a network holds at each step: liveness on the kernels of the optimised graph.

Kernels come in order of execution. A tensor lives from the kernel that writes it to the last that reads it;
results and inputs of the network live to the end. Kernels that only rename a tensor share its bytes, and
kernels that may work in place do so where nobody else reads their input any more: the rules of onnxruntime's
planner (core/framework/allocation_planner.cc, FindReusableInput).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from profilers.kernels import Argument, Kernel
from targets.errors import DamagedFileError

TensorType = tuple[str, tuple[int, ...]]
"""Element type and shape: tensors that agree in both may share a buffer."""

RENAMES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
"""Operations whose output is their first input under another shape: kernels with Alias(0, 0)."""

_ACTIVATIONS = (
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Elu", "Selu", "Softplus", "Softsign",
    "ThresholdedRelu", "Clip", "Cast", "Softmax", "LogSoftmax",
)  # fmt: skip
IN_PLACE: Mapping[str, int] = {**dict.fromkeys(_ACTIVATIONS, 0), "Conv": 3, "FusedConv": 3}
"""Operation: the input whose bytes the output may take, the MayInplace of core/providers/cpu and contrib_ops.
The fourth of a convolution is the sum fused into it. Add, Mul, Gelu and QuickGelu are not among them."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes that are held from the step `first` to the step `last`, both included.

    last: the number of steps for what leaves the network. outside: an input, which the caller holds.
    """

    size_bytes: int
    first: int
    last: int
    outside: bool = False


def peak_live_bytes(kernels: Sequence[Kernel]) -> int:
    """The most bytes of inputs, activations and results at any step."""
    return max(live_bytes(kernels), default=0)


def live_bytes(kernels: Sequence[Kernel]) -> list[int]:
    """Bytes held during each step; (n_steps,)."""
    n = len(kernels)
    change = [0] * (n + 1)
    for buffer in buffers(kernels):
        change[max(buffer.first, 0)] += buffer.size_bytes
        change[min(buffer.last + 1, n)] -= buffer.size_bytes
    return list(accumulate(change[:n]))


def buffers(kernels: Sequence[Kernel], *, recycle: bool = False) -> list[Buffer]:
    """The buffers of one run, inputs of the network first, then in order of their first step.

    recycle: a tensor takes the buffer of an earlier one of the same type and shape that nobody reads any
    more, which then stays held in between, as the runtime's planner has it (FindReusableTensor).
    """
    plan = _Plan(kernels)
    for step, kernel in enumerate(kernels):
        for place, argument in enumerate(kernel.outputs):
            name, kind = _written(kernel, place), _type(argument)
            index = plan.taken_over(kernel, step, name, kind) if place == 0 else None
            if index is None and recycle and name not in plan.results:
                index = plan.recycled(kind)
            if index is None:
                index = plan.make(Buffer(argument.size_bytes, step, step), kind)
            plan.join(name, index, step)
        plan.end(step)
    return plan.buffers


class _Plan:
    """The buffers so far, who lies where, and which of them are free."""

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        self.buffers: list[Buffer] = []
        self.results = {name for kernel in kernels for name in kernel.results}
        self._owner: dict[str, int] = {}
        self._types: list[TensorType] = []
        self._alive: list[int] = []
        self._free: list[int] = []
        self._last = {name: step for step, kernel in enumerate(kernels) for name in kernel.reads}
        self._last.update(dict.fromkeys(self.results, len(kernels)))
        written = {name for kernel in kernels for name in kernel.writes}
        for kernel in kernels:
            for name, argument in zip(kernel.reads, kernel.inputs, strict=True):
                if argument.role == "activation" and name not in written and name not in self._owner:
                    outside = Buffer(argument.size_bytes, -1, len(kernels), outside=True)
                    self._owner[name] = self.make(outside, _type(argument))

    def make(self, buffer: Buffer, kind: TensorType) -> int:
        self.buffers.append(buffer)
        self._types.append(kind)
        self._alive.append(len(self.buffers) - 1)
        return len(self.buffers) - 1

    def join(self, name: str, index: int, step: int) -> None:
        self._owner[name] = index
        until = max(self.buffers[index].last, self._last.get(name, step))
        self.buffers[index] = replace(self.buffers[index], last=until)

    def end(self, step: int) -> None:
        """What nobody needs after this step becomes free."""
        self._free += [i for i in self._alive if self.buffers[i].last <= step]
        self._alive = [i for i in self._alive if self.buffers[i].last > step]

    def recycled(self, kind: TensorType) -> int | None:
        """The buffer that became free last of those of this type."""
        index = next((i for i in reversed(self._free) if self._types[i] == kind), None)
        if index is not None:
            self._free.remove(index)
            self._alive.append(index)
        return index

    def taken_over(self, kernel: Kernel, step: int, name: str, kind: TensorType) -> int | None:
        """The buffer of an input that the first output takes over, None where it needs its own."""
        if name in self.results:
            return None
        owners = [self._owner.get(read) for read in kernel.reads]
        if kernel.op in RENAMES:
            return owners[0]
        at = IN_PLACE.get(kernel.op, len(owners))
        index = owners[at] if at < len(owners) else None
        if index is None or self.buffers[index].outside or _type(kernel.inputs[at]) != kind:
            return None
        return index if self.buffers[index].last == step and owners.count(index) == 1 else None


def _type(argument: Argument) -> TensorType:
    return argument.element_type, argument.shape


def _written(kernel: Kernel, place: int) -> str:
    """The name of the output at `place` of those that exist: one that is left out has no argument."""
    names = [name for name in kernel.writes if name]
    if place >= len(names):
        raise DamagedFileError(f"kernel {kernel.name}: no names for its outputs; profile the network again")
    return names[place]
