"""Blocks of channels (NCHWc): what onnxruntime's NchwcTransformer makes of a graph of level `extended`.

Every step is looked at once, in order of execution. A convolution or a pooling whose channels fit runs on
blocks and leaves a blocked tensor; what follows stays in blocks where there is a function for its operation
here, else the tensor is reordered back. Written from the behaviour of
`onnxruntime/core/optimizer/nchwc_transformer.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isclose

from .blocks import BlockedTensor, BlockedTensors
from .rule import LayoutRule
from .steps import NCHWC, ORT, KernelGraph, KernelStep

_SUM_INPUT = 3
"""Place of the summand among the inputs of a blocked convolution: image, weight, bias, sum."""


def run_in_blocks(net: KernelGraph, rule: LayoutRule) -> None:
    """Rewrite `net`."""
    blocks = BlockedTensors(net, rule)
    for step in list(net.steps):
        rewrite = _REWRITES.get((step.domain, step.op))
        if rewrite is not None:
            rewrite(blocks, step)
    blocks.reorder_outputs()


def _conv(blocks: BlockedTensors, step: KernelStep) -> None:
    """Convolutions with fixed weights of four axes: dense, depthwise, or grouped in whole blocks."""
    net, rule, weight = blocks.net, blocks.rule, step.reads[1]
    biases = step.reads[2:]
    if not net.is_weight(weight, 4) or not all(net.is_weight(name, 1) for name in biases):
        return
    c_out, c_in, *kernel = net.shape(weight)
    group = int(step.attributes.get("group", 1))
    direct = group == 1 and c_in < rule.block_size
    depthwise = group > 1 and c_in == 1 and c_out == group
    if depthwise:
        fits = c_out % rule.depthwise_multiple == 0
    elif group > 1:
        fits = c_in % rule.block_size == 0 and c_out // group % rule.block_size == 0
    else:
        fits = direct or c_in % rule.dense_multiple == 0
    if not fits:
        return
    padded = rule.padded(c_out)
    shape = [padded, c_in if group > 1 or direct else rule.padded(c_in), *kernel]
    reads = [step.reads[0] if direct else blocks.image(step.reads[0]), net.tensor(weight, "blocked", shape)]
    reads += [net.tensor(bias, "padded", [padded]) for bias in biases]
    attributes = {**step.attributes, "group": padded} if depthwise else step.attributes
    blocks.replace(step, "Conv", attributes, reads, c_out)


def _pool(blocks: BlockedTensors, step: KernelStep) -> None:
    """Poolings over whole blocks; a plain image is reordered for them."""
    _, kind, shape = blocks.net.tensors[step.reads[0]]
    if step.attributes.get("ceil_mode") and step.attributes.get("count_include_pad"):
        return  # the blocked kernel would count the overhang
    whole = len(shape) == 4 and shape[1] % blocks.rule.block_size == 0
    if len(step.writes) == 1 and whole and kind == "float":
        blocks.replace(step, step.op, step.attributes, [blocks.image(step.reads[0])], shape[1])


def _pool_all(blocks: BlockedTensors, step: KernelStep) -> None:
    """Global poolings follow their input's layout; an input of the network is reordered for them."""
    if blocks.is_given(step.reads[0]):
        _pool(blocks, step)


def _add(blocks: BlockedTensors, step: KernelStep) -> None:
    """A sum of blocked tensors becomes part of a convolution, or stays in blocks."""
    inputs = blocks.all_of(step)
    if len({tensor.channels for tensor in inputs}) != 1:
        return
    if not _same_shape(blocks, step):
        _broadcast_add(blocks, step, inputs)
        return
    if blocks.rule.fuses_sum and len(inputs) == 2:
        for tensor, other in (inputs, inputs[::-1]):
            if _is_bare(tensor, uses=1) and len(tensor.step.reads) <= _SUM_INPUT:
                tensor.take()
                tensor.step.reads += [""] * (_SUM_INPUT - len(tensor.step.reads)) + [other.take()]
                blocks.absorb(step, tensor)
                return
    blocks.keep(step, inputs, inputs[0].channels)


def _broadcast_add(blocks: BlockedTensors, step: KernelStep, inputs: list[BlockedTensor]) -> None:
    """Sums of unequal shapes: the blocks become an axis for the time of the addition."""
    net = blocks.net
    channels, joined, original = inputs[0].channels, blocks.result(step, inputs[0].channels), step.writes[0]
    step.reads = [_split(blocks, tensor.name) for tensor in inputs]
    for tensor, split in zip(inputs, step.reads, strict=True):
        net.add("Reshape", "", {}, [tensor.take(), net.shape_weight(5)], [split])
    step.writes = [_split(blocks, joined)]
    last = net.add("Reshape", "", {}, [*step.writes, net.shape_weight(4)], [joined])
    blocks.register(original, last, channels)


def _split(blocks: BlockedTensors, name: str) -> str:
    size = blocks.rule.block_size
    n, c, *hw = blocks.net.shape(name)
    return blocks.net.tensor(name, "split", [n, c // size, *hw, size])


def _mul(blocks: BlockedTensors, step: KernelStep) -> None:
    """Products: with a weight per channel, the second half of a HardSwish, or of two blocked tensors."""
    inputs = blocks.all_of(step)
    if not inputs:
        _scale(blocks, step)
        return
    gate, image = sorted(inputs, key=lambda tensor: tensor.step.op != "HardSigmoid")
    if "HardSwish" in blocks.rule.fuses and _is_hard_swish(gate, image):
        image.take()
        image.step.attributes["activation"] = "HardSwish"
        blocks.net.remove(gate.step)
        blocks.absorb(step, image)
        gate.take()
    elif _same_shape(blocks, step):
        blocks.keep(step, inputs, inputs[0].channels)


def _is_hard_swish(gate: BlockedTensor, image: BlockedTensor) -> bool:
    return (
        gate.step.op == "HardSigmoid"
        and gate.uses == 1
        and gate.step.reads == [image.name]
        and _is_bare(image, uses=2)
        and len(image.step.reads) <= _SUM_INPUT
        and isclose(_parameters(gate.step)[0], 1 / 6, rel_tol=1e-5)
        and isclose(_parameters(gate.step)[1], 0.5, rel_tol=1e-5)
    )


def _scale(blocks: BlockedTensors, step: KernelStep) -> None:
    """A product with a weight (1, c, 1, 1) or (c, 1, 1)."""
    tensor = next(filter(None, map(blocks.get, step.reads)), None)
    weight = next((name for name in step.reads if blocks.net.is_weight(name)), None)
    if not blocks.rule.scales or tensor is None or weight is None:
        return
    if blocks.net.shape(weight) in ([1, tensor.channels, 1, 1], [tensor.channels, 1, 1]):
        _as_conv(blocks, step, tensor, weight, [])


def _batch_norm(blocks: BlockedTensors, step: KernelStep) -> None:
    """In blocks it is a depthwise convolution of one pixel."""
    tensor = blocks.get(step.reads[0])
    fixed = all(blocks.net.is_weight(name, 1) for name in step.reads[1:])
    if tensor is not None and fixed and len(step.writes) == 1:
        bias = blocks.net.tensor(step.reads[2], "bias", [blocks.rule.padded(tensor.channels)])
        _as_conv(blocks, step, tensor, step.reads[1], [bias])


def _as_conv(
    blocks: BlockedTensors, step: KernelStep, tensor: BlockedTensor, weight: str, bias: list[str]
) -> None:
    padded = blocks.rule.padded(tensor.channels)
    scale = blocks.net.tensor(weight, "scale", [padded, 1, 1, 1])
    blocks.replace(step, "Conv", {"group": padded}, [tensor.take(), scale, *bias], tensor.channels)


def _activation(blocks: BlockedTensors, step: KernelStep) -> None:
    """Elementwise operations: part of the convolution before them, or in blocks."""
    tensor = blocks.get(step.reads[0])
    if tensor is None:
        return
    if step.op in blocks.rule.fuses and _is_bare(tensor, uses=1):
        tensor.take()
        tensor.step.attributes["activation"] = step.op
        if step.op == "HardSigmoid":
            tensor.step.attributes["activation_params"] = _parameters(step)
        blocks.absorb(step, tensor)
    elif step.op in blocks.rule.keeps:
        blocks.keep(step, [tensor], tensor.channels)


def _concat(blocks: BlockedTensors, step: KernelStep) -> None:
    """Channels of whole blocks are concatenated in blocks."""
    inputs = blocks.all_of(step)
    whole = all(tensor.channels % blocks.rule.block_size == 0 for tensor in inputs)
    if inputs and whole and step.attributes.get("axis") == 1:
        blocks.keep(step, inputs, sum(tensor.channels for tensor in inputs))


def _transpose(blocks: BlockedTensors, step: KernelStep) -> None:
    """A blocked tensor is reordered into channels last at once."""
    tensor = blocks.get(step.reads[0])
    if tensor is not None and step.attributes.get("perm") == [0, 2, 3, 1]:
        blocks.net.remove(step)
        attributes = {"channels": tensor.channels, "channels_last": 1}
        blocks.net.add("ReorderOutput", NCHWC, attributes, [tensor.take()], step.writes)


def _resize(blocks: BlockedTensors, step: KernelStep) -> None:
    """Whole factors, nearest neighbours or linear."""
    tensor = blocks.get(step.reads[0])
    if tensor is None or not _resizes(blocks.rule, step):
        return
    sizes = list(zip(blocks.net.shape(step.writes[0]), blocks.net.shape(step.reads[0]), strict=True))
    if all(after % before == 0 for after, before in sizes) and sizes[0][0] == sizes[0][1]:
        names = ("mode", "coordinate_transformation_mode")
        attributes = {name: step.attributes[name] for name in names if name in step.attributes}
        attributes["scales"] = [after // before for after, before in sizes]
        blocks.replace(step, "Upsample", attributes, [tensor.take()], tensor.channels)


def _resizes(rule: LayoutRule, step: KernelStep) -> bool:
    mode = step.attributes.get("mode", "nearest")
    place = step.attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        exact = place == "asymmetric" and step.attributes.get("nearest_mode") == "floor"
    else:
        exact = place in ("asymmetric", "half_pixel", "align_corners")
    return exact and mode in rule.resizes


def _same_shape(blocks: BlockedTensors, step: KernelStep) -> bool:
    return len({tuple(blocks.net.shape(name)) for name in step.reads}) == 1


def _is_bare(tensor: BlockedTensor, uses: int) -> bool:
    """Whether it comes from a blocked convolution without an activation, read this often."""
    is_conv = (tensor.step.domain, tensor.step.op) == (NCHWC, "Conv")
    return is_conv and tensor.uses == uses and "activation" not in tensor.step.attributes


def _parameters(step: KernelStep) -> list[float]:
    """Slope and offset of a HardSigmoid."""
    return [float(step.attributes.get("alpha", 0.2)), float(step.attributes.get("beta", 0.5))]


_REWRITES: Mapping[tuple[str, str], Callable[[BlockedTensors, KernelStep], None]] = {
    ("", "Conv"): _conv,
    (ORT, "FusedConv"): _conv,
    **{("", op): _pool for op in ("MaxPool", "AveragePool")},
    **{("", op): _pool_all for op in ("GlobalAveragePool", "GlobalMaxPool")},
    **{("", op): _add for op in ("Add", "Sum")},
    ("", "Mul"): _mul,
    ("", "Concat"): _concat,
    ("", "BatchNormalization"): _batch_norm,
    ("", "Transpose"): _transpose,
    ("", "Resize"): _resize,
    **{("", op): _activation for op in ("Relu", "Sigmoid", "Tanh", "HardSigmoid", "Gelu")},
    **{(ORT, op): _activation for op in ("Gelu", "QuickGelu")},
}
