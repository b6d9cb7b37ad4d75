"""A list of kernels as a graph that can be rewritten: steps, tensors between them, the order they run in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from targets.errors import DamagedFileError

Argument = list[Any]
"""[role, element type, shape] as in `profilers.kernels`."""

_UNKNOWN: Argument = ["none", "", []]
"""Sequences and maps, of which the runtime tells nothing."""

ORT = "com.microsoft"
NCHWC = "com.microsoft.nchwc"


@dataclass(eq=False)
class Step:
    """A kernel under rewriting. rank: the runtime runs the producer of the highest rank first."""

    op: str
    domain: str
    name: str
    attributes: dict[str, Any]
    reads: list[str]
    writes: list[str]
    rank: int
    kernel: Mapping[str, Any] = field(default_factory=dict)


class Steps:
    """The kernels of one network. tensors: name -> argument; results: names that leave the network."""

    def __init__(self, kernels: Sequence[Mapping[str, Any]]) -> None:
        """`kernels` as `profilers.kernels.describe` tells them, in order of execution."""
        self.tensors: dict[str, Argument] = {"": ["none", "", []]}
        self.results: set[str] = set()
        self.steps: list[Step] = []
        for i, kernel in enumerate(kernels):
            reads, writes = list(kernel["reads"]), list(kernel["writes"])
            if len(reads) != len(kernel["inputs"]) or not writes:
                raise DamagedFileError(
                    f"kernel {kernel['name']} ({kernel['op']}) does not say what it reads and writes; "
                    "profile the network again"
                )
            for name, value in zip(reads, kernel["inputs"], strict=True):
                self.tensors.setdefault(name, value)
            self.tensors.update((name, _UNKNOWN) for name in writes if name)
            self.tensors.update(zip((name for name in writes if name), kernel["outputs"], strict=False))
            self.results.update(kernel["results"])
            attributes = dict(kernel["attributes"])
            self.steps.append(
                Step(kernel["op"], kernel["domain"], kernel["name"], attributes, reads, writes, -i, kernel)
            )
        self._uses = Counter(name for step in self.steps for name in step.reads)
        self._uses.update(self.results)
        self._made = 0

    def uses(self, name: str) -> int:
        """How often the network of level `extended` reads this tensor or returns it."""
        return self._uses[name]

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor."""
        return list(self.tensors[name][2])

    def is_weight(self, name: str, rank: int | None = None) -> bool:
        """Whether it is a float weight, with this many axes if given."""
        role, kind, shape = self.tensors[name]
        return bool(role == "weight" and kind == "float" and rank in (None, len(shape)))

    def tensor(self, like: str, suffix: str, shape: Sequence[int]) -> str:
        """The name of a new tensor of the role and the type of `like`; the same one when asked again."""
        role, kind, _ = self.tensors[like]
        name = f"{like}#{suffix}"
        self.tensors[name] = [role, kind, list(shape)]
        return name

    def shape_weight(self, axes: int) -> str:
        """The name of a weight that holds a shape of so many axes."""
        self.tensors[f"#shape{axes}"] = ["weight", "int64", [axes]]
        return f"#shape{axes}"

    def add(
        self, op: str, domain: str, attributes: dict[str, Any], reads: list[str], writes: list[str]
    ) -> Step:
        """A new step."""
        step = Step(op, domain, f"{writes[0]}/{op}", attributes, reads, writes, 0)
        self.renew(step)
        self.steps.append(step)
        return step

    def renew(self, step: Step) -> None:
        """Give it the rank of a new node."""
        self._made += 1
        step.rank = self._made

    def remove(self, step: Step) -> None:
        """Forget a step."""
        self.steps.remove(step)

    def kernels(self) -> list[dict[str, Any]]:
        """The kernels in the order in which the runtime runs them."""
        return [self._kernel(step) for step in ordered(self.steps)]

    def _told(self, step: Step) -> list[str]:
        """What the runtime would tell of what a step writes."""
        return [name for name in step.writes if name and self.tensors[name] is not _UNKNOWN]

    def _kernel(self, step: Step) -> dict[str, Any]:
        from profilers.kernels import argument_bytes  # loads onnxruntime

        inputs = [self.tensors[name] for name in step.reads]
        weights = sum(argument_bytes(value) for value in inputs if value[0] == "weight")
        return {
            "op": step.op,
            "domain": step.domain,
            "name": step.name,
            "provider": step.kernel.get("provider", "CPUExecutionProvider"),
            "attributes": step.attributes,
            "inputs": inputs,
            "outputs": [self.tensors[name] for name in self._told(step)],
            "parameter_bytes": step.kernel.get("parameter_bytes", weights),
            "reads": step.reads,
            "writes": step.writes,
            "results": [name for name in step.writes if name in self.results],
        }


def ordered(steps: Iterable[Step]) -> list[Step]:
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
    order: list[Step] = []
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
