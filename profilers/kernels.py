"""What onnxruntime really runs: the kernels of the optimised graph, with the shapes of their arguments.

Shapes come from the events of a profiled run, weights and attributes from the optimised graph: prepacked
weights vanish from the events. The two are joined by node name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from targets.errors import DamagedFileError

from .graph import ELEMENT_BYTES, OnnxGraph, OnnxNode, TensorInfo

KERNEL_TIME = "_kernel_time"
"""How the name of a kernel's event ends; before it stands the name of the node."""

_NAMES = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double"}
_ELEMENT_BYTES = {name: ELEMENT_BYTES[kind] for kind, name in _NAMES.items()}


class Argument(NamedTuple):
    """An input or an output of a kernel; in JSON a list of the three.

    role: `weight`, `activation`, or `none` for an input that is left out.
    element_type: as onnxruntime names it, for example `float` or `uint8`.
    shape: the size of each axis.

    >>> Argument("weight", "float", (16, 3, 3, 3)).size_bytes
    1728
    """

    role: str
    element_type: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements; 0 for an argument that is left out."""
        if self.role == "none":
            return 0
        n = _ELEMENT_BYTES.get(self.element_type, 4)
        for size in self.shape:
            n *= size
        return n


ABSENT = Argument("none", "", ())
"""An input that is left out, or a value of which the runtime tells nothing: a sequence or a map."""


@dataclass(frozen=True)
class Kernel:
    """One operation as the runtime executed it.

    op, domain: the operator; domain is `?` where the optimised graph does not have the node.
    name: of the node.
    provider: the execution provider that ran it.
    attributes: numbers, texts and lists of numbers.
    inputs, outputs: in the order of the operator; an output that is left out has no argument.
    reads, writes: the names of the inputs and of the outputs.
    results: the outputs that leave the network.
    parameter_bytes: what the runtime counts as the kernel's weights.
    """

    op: str
    domain: str
    name: str
    provider: str
    attributes: Mapping[str, Any]
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    parameter_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `Kernel.from_json` reads them."""
        return {
            "op": self.op,
            "domain": self.domain,
            "name": self.name,
            "provider": self.provider,
            "attributes": dict(self.attributes),
            "inputs": [[role, element_type, list(shape)] for role, element_type, shape in self.inputs],
            "outputs": [[role, element_type, list(shape)] for role, element_type, shape in self.outputs],
            "reads": list(self.reads),
            "writes": list(self.writes),
            "results": list(self.results),
            "parameter_bytes": self.parameter_bytes,
        }

    @classmethod
    def from_json(cls, values: Any) -> Kernel:
        """The kernel of these fields; DamagedFileError where they are none.

        Rows of earlier versions have no names of inputs and outputs.
        """
        try:
            return cls(
                op=str(values["op"]),
                domain=str(values["domain"]),
                name=str(values["name"]),
                provider=str(values["provider"]),
                attributes=dict(values["attributes"]),
                inputs=_arguments(values["inputs"]),
                outputs=_arguments(values["outputs"]),
                reads=tuple(values.get("reads", ())),
                writes=tuple(values.get("writes", ())),
                results=tuple(values.get("results", ())),
                parameter_bytes=int(values.get("parameter_bytes", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFileError(
                f"a row of kernels holds what is no kernel ({error!r}); profile the network again"
            ) from None


def _arguments(values: Sequence[Any]) -> tuple[Argument, ...]:
    return tuple(Argument(str(role), str(kind), tuple(map(int, shape))) for role, kind, shape in values)


def row_kernels(row: Mapping[str, Any]) -> list[Kernel]:
    """The kernels of a row of the kind `kernels`, in order of execution."""
    return [Kernel.from_json(values) for values in row["kernels"]]


def describe(run: Sequence[Mapping[str, Any]], graph: OnnxGraph) -> list[Kernel]:
    """The kernels of a run from its events and the optimised graph, in order of execution."""
    by_name = {node.name: node for node in graph.nodes if node.name}
    # Nodes without a name get one of the runtime's own; the file lists nodes in order of execution.
    in_order = graph.nodes if len(graph.nodes) == len(run) else ()
    arguments = {name: _argument("activation", tensor) for name, tensor in graph.inputs.items()}
    arguments.update((name, _argument("weight", tensor)) for name, tensor in graph.weights.items())
    kernels = []
    for i, event in enumerate(run):
        name = str(event["name"])[: -len(KERNEL_TIME)]
        facts, node = event["args"], by_name.get(name)
        if node is None and in_order and in_order[i].op == facts["op_name"]:
            node = in_order[i]
        outputs = tuple(map(_reported, facts.get("output_type_shape", ())))
        if node is None:
            inputs = tuple(map(_reported, facts.get("input_type_shape", ())))
        else:
            arguments.update(zip((n for n in node.outputs if n), outputs))
            inputs = tuple(arguments.get(n, ABSENT) for n in node.inputs)
        kernels.append(
            Kernel(
                op=str(facts["op_name"]),
                domain=node.domain if node else "?",
                name=name,
                provider=str(facts.get("provider", "")),
                attributes=_attributes(node) if node else {},
                inputs=inputs,
                outputs=outputs,
                reads=node.inputs if node else (),
                writes=node.outputs if node else (),
                results=tuple(n for n in node.outputs if n in graph.outputs) if node else (),
                parameter_bytes=int(facts.get("parameter_size", 0)),
            )
        )
    return kernels


def _argument(role: str, tensor: TensorInfo) -> Argument:
    shape = tuple(size if isinstance(size, int) else 1 for size in tensor.shape)
    return Argument(role, _NAMES.get(tensor.kind, "float"), shape)


def _reported(value: Mapping[str, Sequence[int]]) -> Argument:
    """`{"float": [1, 8]}` as onnxruntime writes it."""
    ((element_type, shape),) = value.items() or (("", ()),)
    return Argument("activation", element_type, tuple(shape))


def _attributes(node: OnnxNode) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in node.attributes.items()}
