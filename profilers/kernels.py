"""What onnxruntime really runs: the kernels of the optimised graph, with the shapes of their arguments.

Shapes come from the events of a profiled run, weights and attributes from the optimised graph: prepacked
weights vanish from the events. The two are joined by node name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from targets.errors import DamagedFileError

from .graph import ELEMENT_BYTES, OnnxGraph, OnnxNode, TensorInfo

NO_SHAPES: Mapping[str, Sequence[int]] = MappingProxyType({})

KERNEL_TIME = "_kernel_time"
"""How the name of a kernel's event ends; before it stands the name of the node."""

_NAMES = {
    1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "double", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
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
                reads=tuple(map(str, values.get("reads", ()))),
                writes=tuple(map(str, values.get("writes", ()))),
                results=tuple(map(str, values.get("results", ()))),
                parameter_bytes=int(values.get("parameter_bytes", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DamagedFileError(
                f"a row of kernels holds what is no kernel ({error!r}); profile the network again"
            ) from None


def _arguments(values: Sequence[Any]) -> tuple[Argument, ...]:
    arguments = tuple(Argument(str(role), str(kind), tuple(map(int, shape))) for role, kind, shape in values)
    if not all(0 <= size < _LARGEST for argument in arguments for size in argument.shape):
        raise ValueError("an axis of no possible size")
    return arguments


_LARGEST = 1 << 40


def row_kernels(row: Mapping[str, Any]) -> list[Kernel]:
    """The kernels of a row of the kind `kernels`, in order of execution."""
    return [Kernel.from_json(values) for values in row["kernels"]]


def describe(
    run: Sequence[Mapping[str, Any]], graph: OnnxGraph, shapes: Mapping[str, Sequence[int]] = NO_SHAPES
) -> list[Kernel]:
    """The kernels of a run from its events and the optimised graph, in order of execution.

    The kernels of a branch or a body come before the `If` or `Loop` that ran them, once per trip, and what
    they write has a name of its own each time. shapes: of the inputs as they were fed; those of the graph
    where a name is missing.
    """
    nodes = match_nodes(run, graph)
    arguments = {name: _argument("activation", tensor) for name, tensor in graph.inputs.items()}
    for name, shape in shapes.items():
        if name in arguments:
            arguments[name] = arguments[name]._replace(shape=tuple(shape))
    weights = dict(_weights(graph))
    arguments.update((name, _argument("weight", tensor)) for name, tensor in weights.items())
    trips: Counter[int] = Counter()
    kernels = []
    for event in run:
        name = str(event["name"])[: -len(KERNEL_TIME)]
        facts, place = event["args"], nodes.get(name)
        outputs = tuple(map(_reported, facts.get("output_type_shape", ())))
        reported = tuple(map(_reported, facts.get("input_type_shape", ())))
        reads: tuple[str, ...] = ()
        writes: tuple[str, ...] = ()
        attributes: dict[str, Any] = {}
        node = None
        if place is not None:
            node = place.node
            trips[id(node)] += 1
            reads, writes = place.names(node.inputs, trips), place.names(node.outputs, trips)
            attributes = {**_attributes(node), **_constants(node, weights)}
            ran, ends = _ran(place, nodes.values(), trips)
            attributes.update(ran)
            arguments.update(zip((n for n in writes if n), outputs))
            inputs = _inputs(reads, arguments, reported)
            reads, inputs = (*reads, *ends), (*inputs, *(arguments.get(n, ABSENT) for n in ends))
        kernels.append(
            Kernel(
                op=str(facts["op_name"]),
                domain=node.domain if node else "?",
                name=name,
                provider=str(facts.get("provider", "")),
                attributes=attributes,
                inputs=inputs if node else reported,
                outputs=outputs,
                reads=reads,
                writes=writes,
                results=tuple(n for n in writes if n in graph.outputs),
                parameter_bytes=int(facts.get("parameter_size", 0)),
            )
        )
    return kernels


@dataclass(frozen=True)
class _Place:
    """A node, and where it lies: (name of the node that runs the branch or body, graph), outermost first."""

    node: OnnxNode
    scopes: tuple[tuple[str, OnnxGraph], ...] = ()

    def names(self, names: Sequence[str], trips: Mapping[int, int]) -> tuple[str, ...]:
        """The names of values, those of a branch or a body with where and in which trip they are made."""
        return tuple(self._name(name, trips[id(self.node)]) for name in names)

    def _name(self, name: str, trip: int) -> str:
        for owner, graph in reversed(self.scopes):
            if name in _local_names(graph):
                return f"{owner}/{name}#{trip}"
        return name


def match_nodes(run: Sequence[Mapping[str, Any]], graph: OnnxGraph) -> dict[str, _Place]:
    """The node of each event by the name that the runtime gives it.

    Nodes without a name get one of the runtime's own, operator and index; they are paired with the file's
    nameless nodes of the operator in the order of their indices.
    """
    by_operator: dict[tuple[str, str], _Place] = {}  # both branches of an If may have nodes of one name
    places: dict[str, _Place] = {}
    nameless: dict[str, list[_Place]] = {}
    for place in _places(graph, ()):
        if place.node.name:
            places.setdefault(place.node.name, place)
            by_operator.setdefault((place.node.name, place.node.op), place)
        else:
            nameless.setdefault(place.node.op, []).append(place)
    events = {str(event["name"])[: -len(KERNEL_TIME)]: event["args"] for event in run}
    for name, facts in events.items():
        same = by_operator.get((name, str(facts["op_name"])))
        if same is not None:
            places[name] = same
    unknown = [name for name in events if name not in places]
    for name in sorted(unknown, key=lambda name: int(events[name].get("node_index", 0))):
        left = nameless.get(events[name]["op_name"])
        if left:
            places[name] = left.pop(0)
    return places


def _places(graph: OnnxGraph, scopes: tuple[tuple[str, OnnxGraph], ...]) -> Iterator[_Place]:
    for node in graph.nodes:
        yield _Place(node, scopes)
        for _, inner in node.subgraphs:
            yield from _places(inner, (*scopes, (node.name or node.outputs[0], inner)))


def _local_names(graph: OnnxGraph) -> set[str]:
    return {name for node in graph.nodes for name in node.outputs if name} | set(graph.inputs)


def _weights(graph: OnnxGraph) -> Iterator[tuple[str, TensorInfo]]:
    """Those of the graph and of all branches and bodies in it."""
    for place in _places(graph, ()):
        for _, inner in place.node.subgraphs:
            yield from inner.weights.items()
    yield from graph.weights.items()


def _ran(
    place: _Place, places: Iterable[_Place], trips: Mapping[int, int]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(what a node with branches or a body ran, for its attributes; the values that it took from them)."""
    node = place.node
    facts: dict[str, Any] = {}
    ends: tuple[str, ...] = ()
    for attribute, graph in node.subgraphs:
        inner = [p for p in places if p.scopes and p.scopes[-1][1] is graph and trips[id(p.node)]]
        if not inner:
            continue
        # Of a node that was itself run several times, these are the trips of all its runs.
        n_trips = max(trips[id(p.node)] for p in inner)
        facts["branch" if node.op == "If" else "trips"] = attribute if node.op == "If" else n_trips
        made = [p for p in inner if set(p.node.outputs) & set(graph.outputs)]
        ends += tuple(
            name
            for p in made
            for output, name in zip(p.node.outputs, p.names(p.node.outputs, trips))
            if output in graph.outputs
        )
    return facts, ends


def _inputs(
    names: Sequence[str], arguments: Mapping[str, Argument], reported: Sequence[Argument]
) -> tuple[Argument, ...]:
    """The arguments of these names; what enters a body is known from the event alone, without weights."""
    present = [name for name in names if name]
    moving = [name for name in present if arguments.get(name, ABSENT).role != "weight"]
    seen = dict(zip(present if len(reported) == len(present) else moving, reported))
    return tuple(arguments.get(name) or seen.get(name, ABSENT) if name else ABSENT for name in names)


def _argument(role: str, tensor: TensorInfo) -> Argument:
    shape = tuple(size if isinstance(size, int) else 1 for size in tensor.shape)
    return Argument(role, _NAMES.get(tensor.kind, "float"), shape)


def _reported(value: Mapping[str, Sequence[int]]) -> Argument:
    """`{"float": [1, 8]}` as onnxruntime writes it."""
    ((element_type, shape),) = value.items() or (("", ()),)
    return Argument("activation", element_type, tuple(shape))


_DECIDING: Mapping[str, Mapping[int, str]] = {"Pow": {1: "exponent"}, "Slice": {3: "axes", 4: "steps"}}
"""Inputs whose numbers choose the algorithm, by operator and place: the attribute that a constant becomes."""


def _constants(node: OnnxNode, weights: Mapping[str, TensorInfo]) -> dict[str, list[float]]:
    """The numbers of constant inputs that choose the algorithm, as attributes."""
    places = _DECIDING.get(node.op, {})
    constants = {places[i]: weights.get(name) for i, name in enumerate(node.inputs) if i in places}
    return {name: list(tensor.numbers) for name, tensor in constants.items() if tensor and tensor.numbers}


def _attributes(node: OnnxNode) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in node.attributes.items()}
