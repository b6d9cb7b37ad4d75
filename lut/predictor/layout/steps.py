"""The kernels of a network as a graph that can be rewritten: steps, tensors between them, their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from profilers.kernels import ABSENT, Argument, Kernel
from targets.errors import DamagedFileError

ORT = "com.microsoft"
NCHWC = "com.microsoft.nchwc"


@dataclass(eq=False)
class KernelStep:
    """A kernel under rewriting.

    op, domain, name, attributes, reads, writes: as of a Kernel.
    rank: the runtime runs the producer of the highest rank first.
    kernel: what it was before; None for a new step.
    """

    op: str
    domain: str
    name: str
    attributes: dict[str, Any]
    reads: list[str]
    writes: list[str]
    rank: int
    kernel: Kernel | None = None


class KernelGraph:
    """The kernels of one network. tensors: name -> argument; results: names that leave the network."""

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        """`kernels` come in order of execution."""
        self.tensors: dict[str, Argument] = {"": ABSENT}
        self.results: set[str] = set()
        self.steps: list[KernelStep] = []
        for i, kernel in enumerate(kernels):
            if len(kernel.reads) != len(kernel.inputs) or not kernel.writes:
                raise DamagedFileError(
                    f"kernel {kernel.name} ({kernel.op}) does not say what it reads and writes; "
                    "profile the network again"
                )
            for name, value in zip(kernel.reads, kernel.inputs, strict=True):
                self.tensors.setdefault(name, value)
            written = [name for name in kernel.writes if name]
            self.tensors.update(dict.fromkeys(written, ABSENT))
            self.tensors.update(zip(written, kernel.outputs, strict=False))
            self.results.update(kernel.results)
            self.steps.append(
                KernelStep(
                    op=kernel.op,
                    domain=kernel.domain,
                    name=kernel.name,
                    attributes=dict(kernel.attributes),
                    reads=list(kernel.reads),
                    writes=list(kernel.writes),
                    rank=-i,
                    kernel=kernel,
                )
            )
        self._uses = Counter(name for step in self.steps for name in step.reads)
        self._uses.update(self.results)
        self._n_new = 0

    def uses(self, name: str) -> int:
        """How often the network of level `extended` reads this tensor or returns it."""
        return self._uses[name]

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor."""
        return list(self.tensors[name].shape)

    def is_weight(self, name: str, rank: int | None = None) -> bool:
        """Whether it is a float weight, with this many axes if given."""
        role, kind, shape = self.tensors[name]
        return role == "weight" and kind == "float" and rank in (None, len(shape))

    def tensor(self, like: str, suffix: str, shape: Sequence[int]) -> str:
        """The name of a new tensor of the role and the type of `like`; the same one when asked again."""
        name = f"{like}#{suffix}"
        self.tensors[name] = self.tensors[like]._replace(shape=tuple(shape))
        return name

    def shape_weight(self, axes: int) -> str:
        """The name of a weight that holds a shape of so many axes."""
        self.tensors[f"#shape{axes}"] = Argument("weight", "int64", (axes,))
        return f"#shape{axes}"

    def add(
        self, op: str, domain: str, attributes: dict[str, Any], reads: list[str], writes: list[str]
    ) -> KernelStep:
        """A new step."""
        step = KernelStep(
            op=op,
            domain=domain,
            name=f"{writes[0]}/{op}",
            attributes=attributes,
            reads=reads,
            writes=writes,
            rank=0,
        )
        self.renew(step)
        self.steps.append(step)
        return step

    def renew(self, step: KernelStep) -> None:
        """Give it the rank of a new node."""
        self._n_new += 1
        step.rank = self._n_new

    def remove(self, step: KernelStep) -> None:
        """Forget a step."""
        self.steps.remove(step)

    def kernels(self) -> list[Kernel]:
        """The kernels in the order in which the runtime runs them."""
        return [self._kernel(step) for step in ordered(self.steps)]

    def _kernel(self, step: KernelStep) -> Kernel:
        inputs = tuple(self.tensors[name] for name in step.reads)
        outputs = (self.tensors[name] for name in step.writes if name)
        weight_bytes = sum(argument.size_bytes for argument in inputs if argument.role == "weight")
        return Kernel(
            op=step.op,
            domain=step.domain,
            name=step.name,
            provider=step.kernel.provider if step.kernel else "CPUExecutionProvider",
            attributes=step.attributes,
            inputs=inputs,
            outputs=tuple(argument for argument in outputs if argument != ABSENT),
            reads=tuple(step.reads),
            writes=tuple(step.writes),
            results=tuple(name for name in step.writes if name in self.results),
            parameter_bytes=step.kernel.parameter_bytes if step.kernel else weight_bytes,
        )


def ordered(steps: Iterable[KernelStep]) -> list[KernelStep]:
    """The runtime's order: depth first from the ends, the producer of the highest rank first.

    onnxruntime's `Graph::ReverseDFSFrom`. Ranks of the host's steps fall along its order, so that without
    rewriting the order is the host's; new nodes of the runtime have the highest indices.
    """
    steps = list(steps)
    producer = {name: step for step in steps for name in step.writes if name}
    read = {name for step in steps for name in step.reads}
    ends = [step for step in steps if not read.intersection(step.writes)]
    stack = [(step, False) for step in sorted(ends, key=lambda s: s.rank)]
    seen: set[int] = set()
    order: list[KernelStep] = []
    while stack:
        step, leaving = stack.pop()
        if leaving:
            order.append(step)
        elif id(step) not in seen:
            seen.add(id(step))
            stack.append((step, True))
            before = {id(p): p for p in map(producer.get, step.reads) if p is not None and id(p) not in seen}
            stack += [(p, False) for p in sorted(before.values(), key=lambda s: s.rank)]
    return order
