"""From a network to its groups of channels: its operators one by one, by the rules of `operators`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hwnas.networks.modes import evaluating
from targets.errors import UsageError

from .coupling import ChannelGroup, Coupling
from .operators import RULES, TracedTensor

if TYPE_CHECKING:
    from torch.fx import Node


@dataclass(frozen=True, slots=True)
class Traced:
    """groups: of channels. unknown: operators that keep the channels that they read, with their number."""

    groups: tuple[ChannelGroup, ...]
    unknown: Mapping[str, int]


def trace(module: nn.Module, input_shape: Sequence[int]) -> Traced:
    """The groups of `module`, which reads images of (channels, height, width) and is left as it was.

    UsageError where the network cannot be traced, or nothing in it can be removed.
    """
    program = _program(module, input_shape)
    inputs = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    coupling, unknown = Coupling(), Counter[str]()
    values: dict[Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values[node] = _placeholder(node, inputs.get(node.name), coupling)
        elif node.op == "output":
            _keep(coupling, _read(node.args, values))
        else:
            values[node] = _called(node, values, coupling, unknown)
    groups = coupling.groups()
    if not groups:
        named = ", ".join(sorted(unknown)) or "its layers"
        raise UsageError(
            f"no channels of this network can be removed: {named} need all that there are; shrinking knows "
            "convolutions (dense and depthwise), linear layers, batch norms, additions, products, "
            "concatenations and pooling"
        )
    return Traced(tuple(groups), dict(unknown))


def _program(module: nn.Module, input_shape: Sequence[int]) -> torch.export.ExportedProgram:
    x = torch.zeros(2, *input_shape)  # a batch of two, which no axis of size 1 is taken for
    try:
        with evaluating(module), torch.no_grad():
            return torch.export.export(module, (x,))
    except Exception as error:  # torch raises errors of many classes here
        raise UsageError(
            f"this network cannot be traced by torch.export ({str(error).splitlines()[0][:200]}); shrinking "
            "needs a network without branches that depend on the values of its input"
        ) from None


def _shape_of(node: Node) -> tuple[int, ...] | None:
    known = node.meta.get("val")
    return tuple(int(n) for n in known.shape) if isinstance(known, torch.Tensor) else None


def _placeholder(node: Node, name: str | None, coupling: Coupling) -> TracedTensor:
    shape = _shape_of(node) or ()
    if name is not None or len(shape) < 2:
        return TracedTensor(shape, name=name)
    places = coupling.axis(f"input {node.name}", 1, shape[1])
    coupling.keep(places)
    return TracedTensor(shape, places)


def _called(node: Node, values: Mapping[Node, Any], coupling: Coupling, unknown: Counter[str]) -> Any:
    args, shape = _read(node.args, values), _shape_of(node)
    name = _name_of(node)
    rule = RULES.get(name)
    # Keywords of convolutions and norms are defaults that change no channel.
    value = None
    if rule is not None and shape is not None and args and _usable(args[0]):
        value = rule(coupling, args, shape)
    if value is not None:
        return value
    if name.startswith("_assert"):  # of the trace itself: it computes nothing
        return None
    _keep(coupling, (args, _read(tuple(node.kwargs.values()), values)))
    if name != "getitem":
        unknown[name] += 1
    return TracedTensor(shape or ())


def _usable(first: Any) -> bool:
    return isinstance(first, TracedTensor) or (
        isinstance(first, Sequence) and bool(first) and all(isinstance(v, TracedTensor) for v in first)
    )


def _name_of(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", None)
    name = str(getattr(packet or node.target, "__name__", node.target))
    return name if name.startswith("_") else name.removesuffix("_")


def _read(args: Any, values: Mapping[Node, Any]) -> Any:
    if isinstance(args, torch.fx.Node):
        return values[args]
    if isinstance(args, Sequence) and not isinstance(args, str):
        return [_read(arg, values) for arg in args]
    return args


def _keep(coupling: Coupling, args: Any) -> None:
    """All channels of these values stay."""
    if isinstance(args, TracedTensor):
        if args.places is not None:
            coupling.keep(args.places)
        elif args.name is not None:
            for axis, size in enumerate(args.shape):
                coupling.keep(coupling.axis(args.name, axis, size))
    elif isinstance(args, Sequence) and not isinstance(args, str):
        for arg in args:
            _keep(coupling, arg)
