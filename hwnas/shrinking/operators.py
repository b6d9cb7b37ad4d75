"""What each operator of a traced network does to channels: passes them on, ties them together, mixes them.

A rule reads the values of a call and returns that of its result. What no rule knows keeps all channels that
it reads: the network stays right, and those channels are not pruned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .coupling import ChannelPlaces, Coupling


@dataclass(frozen=True, slots=True)
class TracedTensor:
    """A tensor of the traced network.

    shape: with a batch of two. places: of its channels; None where they are not followed. dim: their axis.
    name: of a weight or a buffer of the network; None for what is computed.
    """

    shape: tuple[int, ...]
    places: ChannelPlaces | None = None
    dim: int = 1
    name: str | None = None


OperatorRule = Callable[[Coupling, Sequence[Any], tuple[int, ...]], TracedTensor | None]
"""(coupling, arguments, shape of the result) -> its value; None where this call is not understood."""


def passed(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """Each channel becomes itself: activations, pooling, padding of the image."""
    x = args[0]
    if x.places is None or len(shape) != len(x.shape) or shape[x.dim] != x.shape[x.dim]:
        return None
    return TracedTensor(shape, x.places, x.dim)


def pooled(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """Pooling over the two last axes."""
    return passed(coupling, args, shape) if args[0].dim < len(args[0].shape) - 2 else None


def convolved(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """conv2d(x, weight, bias, stride, padding, dilation, groups): mixes all channels, or none (depthwise)."""
    x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
    groups = args[6] if len(args) > 6 else 1
    if weight.name is None or x.dim != 1:
        return None
    out = coupling.axis(weight.name, 0, weight.shape[0])
    if groups == 1:
        _read(coupling, x, weight)
    elif groups == x.shape[1] and x.places is not None:
        coupling.unite(np.repeat(x.places, weight.shape[0] // groups), out)
    else:
        return None
    _tie(coupling, bias, out)
    return TracedTensor(shape, out)


def multiplied(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """linear(x, weight, bias): mixes the channels, which are on the last axis."""
    x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
    if weight.name is None or (x.places is not None and x.dim != len(x.shape) - 1):
        return None
    _read(coupling, x, weight)
    out = coupling.axis(weight.name, 0, weight.shape[0])
    _tie(coupling, bias, out)
    return TracedTensor(shape, out, len(shape) - 1)


def normalised(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """batch_norm(x, weight, bias, mean, variance, …): numbers for each channel."""
    x = args[0]
    if x.places is None or x.dim != 1:
        return None
    for tensor in args[1:5]:
        _tie(coupling, tensor, x.places)
    return TracedTensor(shape, x.places)


def scaled(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """prelu(x, weight): one number, or one for each channel."""
    x, weight = args[0], args[1]
    if x.places is None or weight.name is None or x.dim != 1:
        return None
    if weight.shape[0] > 1:
        _tie(coupling, weight, x.places)
    return TracedTensor(shape, x.places)


def combined(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """add, sub, mul, div of two tensors, or of one and a number: channels that meet fall together."""
    tensors = [arg for arg in args[:2] if isinstance(arg, TracedTensor)]
    followed = [t for t in tensors if t.places is not None]
    if not followed:
        return None
    main = max(followed, key=lambda t: (t.shape[t.dim], len(t.shape)))
    assert main.places is not None
    from_right = main.dim - len(main.shape)
    for other in tensors:
        axis = len(other.shape) + from_right
        if other is main or axis < 0 or other.shape[axis] == 1:
            continue
        if other.places is not None and other.dim == axis:
            coupling.unite(main.places, other.places)
        elif other.name is not None:
            coupling.unite(main.places, coupling.axis(other.name, axis, other.shape[axis]))
        else:
            return None
    return TracedTensor(shape, main.places, len(shape) + from_right)


def concatenated(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """cat(tensors, axis): one after the other along the channels, or side by side."""
    tensors, axis = args[0], (args[1] if len(args) > 1 else 0) % len(shape)
    if any(t.places is None or t.dim != tensors[0].dim for t in tensors):
        return None
    first = tensors[0]
    if axis == first.dim:
        return TracedTensor(shape, np.concatenate([t.places for t in tensors]), first.dim)
    for other in tensors[1:]:
        coupling.unite(first.places, other.places)
    return TracedTensor(shape, first.places, first.dim)


def reshaped(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """flatten, view, reshape, squeeze: where channels keep their axis, or are laid out with their pixels."""
    x = args[0]
    if x.places is None:
        return None
    if shape[: x.dim + 1] == x.shape[: x.dim + 1]:
        return TracedTensor(shape, x.places, x.dim)
    rest = math.prod(x.shape[x.dim :])
    if shape == (*x.shape[: x.dim], rest):
        return TracedTensor(shape, np.repeat(x.places, rest // x.shape[x.dim]), x.dim)
    return None


def averaged(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """mean(x, axes, keepdim) and the like, over other axes than that of the channels."""
    x = args[0]
    if x.places is None or len(args) < 2 or not isinstance(args[1], Sequence):
        return None
    axes = {axis % len(x.shape) for axis in args[1]}
    if x.dim in axes:
        return None
    keeps = len(args) > 2 and bool(args[2])
    return TracedTensor(shape, x.places, x.dim if keeps else x.dim - sum(axis < x.dim for axis in axes))


def permuted(coupling: Coupling, args: Sequence[Any], shape: tuple[int, ...]) -> TracedTensor | None:
    """permute(x, order)."""
    x = args[0]
    if x.places is None:
        return None
    order = [axis % len(shape) for axis in args[1]]
    return TracedTensor(shape, x.places, order.index(x.dim))


def _read(coupling: Coupling, x: TracedTensor, weight: TracedTensor) -> None:
    """The channels of `x` are mixed by the weight; it reads all of them where they are not followed."""
    assert weight.name is not None  # as its callers have seen
    inputs = coupling.axis(weight.name, 1, weight.shape[1])
    if x.places is None:
        coupling.keep(inputs)
    else:
        coupling.unite(x.places, inputs)


def _tie(coupling: Coupling, tensor: TracedTensor | None, places: ChannelPlaces) -> None:
    """The numbers for each channel fall with it; None: there are none."""
    if tensor is None:
        return
    if tensor.name is None:
        coupling.keep(places)
    else:
        coupling.unite(coupling.axis(tensor.name, 0, tensor.shape[0]), places)


_PASSED = (
    *("relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "silu", "gelu", "elu", "selu"),
    *("leaky_relu", "tanh", "mish", "softplus", "celu", "dropout", "feature_dropout", "alias", "contiguous"),
    *("clone", "detach", "zeros_like", "exp", "sqrt", "abs", "neg", "clamp", "clamp_min", "clamp_max", "pow"),
    *("square", "to", "_to_copy", "log_sigmoid", "hardshrink"),
)
_POOLED = (
    *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d"),
    *("upsample_bilinear2d", "constant_pad_nd", "pad", "reflection_pad2d", "slice"),
)

RULES: Mapping[str, OperatorRule] = {
    **dict.fromkeys(_PASSED, passed),
    **dict.fromkeys(_POOLED, pooled),
    "conv2d": convolved,
    "linear": multiplied,
    "batch_norm": normalised,
    "prelu": scaled,
    **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), combined),
    "cat": concatenated,
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze"), reshaped),
    **dict.fromkeys(("mean", "sum", "amax"), averaged),
    "permute": permuted,
}
"""By the name of the operator, without `aten.`, overload and the underscore of an in-place form."""
