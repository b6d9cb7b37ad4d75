"""What onnxruntime really runs: the kernels of the optimised graph, with shapes and times, in context.

A session with profiling on writes one event per kernel and run, in order of execution, and the optimised
graph to a file. Shapes come from the events, weights and attributes from the graph (prepacked weights vanish
from the events); the two are joined by node name. Each event costs the runtime about 8 us outside the
kernel's time and 1 us inside, so times are for models of kernels, never for the latency of a network.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from targets import Target
from targets.errors import HwnasError, TargetError

from .graph import ELEMENT_BYTES, Graph, Node, read_graph
from .session import Runner

_KERNEL_TIME = "_kernel_time"
_RUN = "model_run"

_NAMES = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double"}

Argument = list[Any]
"""[role, element type, shape]; role: `weight`, `activation`, or `none` for an input that is left out."""


class ProfiledRunner(Runner):
    """A network whose every run leaves a time per kernel."""

    def __init__(self, name: str, model: Path | bytes, target: Target, seed: int) -> None:
        """Load it; the optimised graph is kept without its weights. Errors as Runner."""
        self._folder = tempfile.TemporaryDirectory(prefix="hwnas-kernels-")
        optimised = Path(self._folder.name) / "optimised.onnx"
        self._calls: list[int] = []
        try:
            trace = Path(self._folder.name) / "trace"
            super().__init__(name, model, target, seed, profile=trace, save=optimised)
            self._graph = read_graph(optimised.read_bytes(), f"the optimised graph of {name}")
        except HwnasError:
            self._folder.cleanup()
            raise
        self._name = name
        optimised.unlink()

    def run(self, times: int) -> None:
        """Run it `times` times, one after the other."""
        self._calls.append(times)
        super().run(times)

    def finish(self, n_samples: int) -> dict[str, Any]:
        """`kernels` in order of execution, and `kernel_us`: per sample, the microseconds of each kernel.

        A sample is a call that refills the caches and a call that counts, as `measure.sample` makes them.
        """
        path = Path(self._session.end_profiling())
        try:
            events = json.loads(path.read_text(encoding="utf-8"))
        finally:
            self._folder.cleanup()
        runs = _runs(events)
        if len(runs) != sum(self._calls):
            raise TargetError(
                f"{self._name}: the profile holds {len(runs)} runs of {sum(self._calls)}; onnxruntime drops "
                "events after the first million: ask for fewer rounds"
            )
        counted: list[list[int]] = []
        at = len(runs) - sum(self._calls[-2 * n_samples :])
        for refill, times in zip(self._calls[-2 * n_samples :: 2], self._calls[-2 * n_samples + 1 :: 2]):
            sample = runs[at + refill : at + refill + times]
            per_kernel = zip(*([event["dur"] for event in run] for run in sample))
            counted.append([round(sum(us) / times, 2) for us in per_kernel])
            at += refill + times
        kernels = describe(runs[-1], self._graph)
        return {**super().finish(n_samples), "kernels": kernels, "kernel_us": counted}


def _runs(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The kernel events of each run: a run's own event follows those of its kernels."""
    runs: list[list[Mapping[str, Any]]] = []
    current: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(_KERNEL_TIME):
            current.append(event)
        elif event.get("name") == _RUN:
            runs.append(current)
            current = []
    return runs


def describe(run: Sequence[Mapping[str, Any]], graph: Graph) -> list[dict[str, Any]]:
    """What each kernel of a run is: operation, attributes, and the role, type and shape of each argument.

    reads, writes: the names of the inputs and the outputs; results: the outputs that leave the network.
    """
    by_name = {node.name: node for node in graph.nodes if node.name}
    # Nodes without a name get one of the runtime's own; the file lists nodes in order of execution.
    in_order = graph.nodes if len(graph.nodes) == len(run) else ()
    shapes: dict[str, Argument] = {
        name: ["activation", _NAMES.get(t.kind, "float"), list(t.shape)] for name, t in graph.inputs.items()
    }
    found = []
    for i, event in enumerate(run):
        name = str(event["name"])[: -len(_KERNEL_TIME)]
        facts, node = event["args"], by_name.get(name)
        if node is None and in_order and in_order[i].op == facts["op_name"]:
            node = in_order[i]
        outputs = [_argument(value) for value in facts.get("output_type_shape", ())]
        if node is None:
            inputs = [_argument(value) for value in facts.get("input_type_shape", ())]
        else:
            shapes.update(zip((n for n in node.outputs if n), outputs))
            inputs = [_input(n, graph, shapes) for n in node.inputs]
        found.append(
            {
                "op": str(facts["op_name"]),
                "domain": node.domain if node else "?",
                "name": name,
                "provider": str(facts.get("provider", "")),
                "attributes": _plain(node),
                "inputs": inputs,
                "outputs": outputs,
                "reads": list(node.inputs) if node else [],
                "writes": list(node.outputs) if node else [],
                "results": [n for n in node.outputs if n in graph.outputs] if node else [],
                "parameter_bytes": int(facts.get("parameter_size", 0)),
            }
        )
    return found


def _input(name: str, graph: Graph, shapes: Mapping[str, Argument]) -> Argument:
    if name in graph.weights:
        weight = graph.weights[name]
        return ["weight", _NAMES.get(weight.kind, "float"), list(weight.shape)]
    return shapes.get(name, ["none", "", []]) if name else ["none", "", []]


def _argument(value: Mapping[str, Any]) -> Argument:
    """`{"float": [1, 8]}` as onnxruntime writes it."""
    ((kind, shape),) = value.items() or (("", []),)
    return ["activation", kind, shape]


def _plain(node: Node | None) -> dict[str, Any]:
    return (
        {}
        if node is None
        else {k: list(v) if isinstance(v, tuple) else v for k, v in node.attributes.items()}
    )


_ELEMENT_BYTES = {name: ELEMENT_BYTES[kind] for kind, name in _NAMES.items()}


def argument_bytes(argument: Argument) -> int:
    """Bytes of an argument; 0 for one that is left out."""
    role, kind, shape = argument
    if role == "none":
        return 0
    n = _ELEMENT_BYTES.get(kind, 4)
    for size in shape:
        n *= int(size)
    return n
