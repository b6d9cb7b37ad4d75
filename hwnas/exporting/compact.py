"""An 8-bit file without what fills small ones: long names, equal numbers stored many times, known shapes.

The quantiser adds two nodes, two tensors and two or three numbers for each tensor, and names them by what
they belong to: a third of the file of a network with 150,000 weights. Operators, weights and answers stay.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, NodeProto

_CONVERSIONS = frozenset(("QuantizeLinear", "DequantizeLinear"))


def compact(model: bytes) -> bytes:
    """The same network in fewer bytes. Inputs, outputs and the nodes of layers keep their names."""
    loaded = onnx.load_model_from_string(model)
    if any(_has_graph(node) for node in loaded.graph.node):
        return model  # what a branch or a body reads may not be renamed from outside
    _share_equal_numbers(loaded)
    _shorten_names(loaded)
    del loaded.graph.value_info[:]  # shapes, which every reader infers
    for node in loaded.graph.node:
        _drop_needless_axis(node, loaded)
    return bytes(loaded.SerializeToString())


def _has_graph(node: NodeProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _share_equal_numbers(model: ModelProto) -> None:
    """One initialiser for all that are equal: zero points, and scales of tensors that only move."""
    graph = model.graph
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    shown = {value.name for value in (*graph.input, *graph.output)}
    for weight in graph.initializer:
        bare = onnx.TensorProto()
        bare.CopyFrom(weight)
        bare.ClearField("name")
        name = first.setdefault(bare.SerializeToString(deterministic=True), weight.name)
        if name != weight.name and weight.name not in shown:
            instead[weight.name] = name
    kept = [weight for weight in graph.initializer if weight.name not in instead]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in instead:
                node.input[place] = instead[name]


def _shorten_names(model: ModelProto) -> None:
    """Tensors inside the network get the shortest names there are, conversions too."""
    graph = model.graph
    fixed = {value.name for value in (*graph.input, *graph.output)}
    tensors = dict.fromkeys(
        [weight.name for weight in graph.initializer]
        + [name for node in graph.node for name in (*node.input, *node.output) if name]
    )
    numbers = (_digits(n) for n in range(len(tensors) + len(fixed) + 1))
    free = (name for name in numbers if name not in fixed)
    names = {name: name if name in fixed else next(free) for name in tensors}
    for weight in graph.initializer:
        weight.name = names[weight.name]
    for number, node in enumerate(graph.node):
        node.input[:] = [names.get(name, "") for name in node.input]
        node.output[:] = [names.get(name, "") for name in node.output]
        if node.op_type in _CONVERSIONS:
            node.name = f"{node.op_type[0]}{_digits(number)}"  # profiles tell nodes apart by their names


def _digits(number: int) -> str:
    """In base 36.

    >>> [_digits(n) for n in (0, 35, 36)]
    ['0', 'z', '10']
    """
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = digits[number % 36]
    while number := number // 36:
        text = digits[number % 36] + text
    return text


def _drop_needless_axis(node: NodeProto, model: ModelProto) -> None:
    """A conversion by one number has no axis."""
    if node.op_type not in _CONVERSIONS or not node.attribute:
        return
    scale = next((w for w in model.graph.initializer if w.name == node.input[1]), None)
    if scale is not None and not scale.dims:
        kept = [attribute for attribute in node.attribute if attribute.name != "axis"]
        del node.attribute[:]
        node.attribute.extend(kept)
