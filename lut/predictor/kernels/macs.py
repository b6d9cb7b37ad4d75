"""Multiply-accumulates of kernels that are priced by what they move: a closed form per operator.

They are for the answer only; the features of these kernels do without them, so that prices stay the same.
What works element by element has none: activations, norms, pooling and interpolation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from profilers.kernels import Argument, Kernel

from .products import CONVOLUTIONS, PRODUCTS

_GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}

_MULTIPLIES = re.compile(
    r"MatMul|Gemm|Conv|Attention|LSTM|GRU|RNN|MoE|DFT|STFT|[Ff]ft|SVM|Einsum|CDist|Delta|LowRank|Mamba|Proj"
    r"|Search|Sampling|^Det$|^Inverse$|GatedRelativePositionBias|^Linear(Classifier|Regressor)$"
)
"""Names of operators that multiply and add; where no form below counts one, it is said to be uncounted."""

_KNOWN_DOMAINS = (
    "",
    "?",
    "ai.onnx",
    "ai.onnx.ml",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
)
"""An operator of any other domain is one of the user's own, of which nothing is known."""


def kernel_macs(kernel: Kernel, of_features: float) -> int | None:
    """Of any kernel: those that its features have, else by the form of its operator."""
    return int(of_features) if of_features and math.isfinite(of_features) else other_macs(kernel)


def other_macs(kernel: Kernel) -> int | None:
    """The multiply-accumulates of such a kernel; 0 for one without any, None where they are not counted."""
    count = _COUNTS.get(kernel.op) if kernel.domain in _KNOWN_DOMAINS else _unknown
    if count is None:
        return None if _MULTIPLIES.search(kernel.op) else 0
    try:
        return count(kernel)
    except (IndexError, ValueError, TypeError, KeyError):  # an input is left out, or has another form
        return None


def _unknown(kernel: Kernel) -> None:
    return None


def _recurrent(kernel: Kernel) -> int:
    """X: (steps, batch, inputs). Every gate of every step multiplies the input and the hidden state."""
    steps, batch, inputs = kernel.inputs[0].shape
    if kernel.attributes.get("layout"):
        batch, steps = steps, batch
    hidden = int(kernel.attributes["hidden_size"])
    directions = 2 if kernel.attributes.get("direction") == "bidirectional" else 1
    return steps * batch * directions * _GATES[kernel.op] * hidden * (inputs + hidden)


def _convolution(kernel: Kernel) -> int:
    """Of any number of axes. Each output sums the window over the channels of its group."""
    weight = _convolution_weight(kernel)
    elements = math.prod(kernel.inputs[0].shape if "Transpose" in kernel.op else kernel.outputs[0].shape)
    return elements * math.prod(weight.shape[1:])


def _convolution_weight(kernel: Kernel) -> Argument:
    weights = [a for a in kernel.inputs[1:] if len(a.shape) == len(kernel.inputs[0].shape)]
    return sorted(weights, key=lambda a: a.role != "weight")[0]


def _product(kernel: Kernel) -> int:
    """Of matrices and vectors, as numpy's matmul: each output sums over the last axis of the first."""
    a = kernel.inputs[0].shape
    turned = kernel.attributes.get("transA") and len(a) > 1
    return math.prod(kernel.outputs[0].shape) * a[-2 if turned else -1]


def _packed_product(kernel: Kernel) -> int:
    """The weight is packed, and its sizes are attributes."""
    return math.prod(kernel.outputs[0].shape) * int(kernel.attributes["K"])


def _attention(kernel: Kernel) -> int:
    """Scores of all queries with all keys, then sums of values: `outputs` and `queries` times the keys each.

    Of com.microsoft: X (batch, words, inputs), W (inputs, q + k + v) first. Of ONNX: Q, K, V as they are.
    """
    y = kernel.outputs[0].shape
    if kernel.domain == "com.microsoft":
        batch, words, inputs = kernel.inputs[0].shape
        (columns,) = kernel.inputs[1].shape[1:]
        past = sum(a.shape[3] for a in kernel.inputs[2:] if len(a.shape) == 5 and a.shape[0] == 2)
        queries = (columns - y[-1]) // 2
        scores = batch * words * (words + past) * (queries + y[-1])
        return batch * words * inputs * columns + scores
    q, k = kernel.inputs[0].shape, kernel.inputs[1].shape
    past = kernel.inputs[4].shape[2] if len(kernel.inputs) > 4 and kernel.inputs[4].shape else 0
    return (math.prod(q) + math.prod(y)) * (k[-2] + past)


def _heads_attention(kernel: Kernel) -> int:
    """Q (batch, words, hidden), or Q, K and V of each head packed as (batch, words, heads, 3, size)."""
    q, y = kernel.inputs[0].shape, kernel.outputs[0].shape
    packed = len(q) == 5
    k = q if packed else kernel.inputs[1].shape
    keys = k[2] if len(k) == 4 else k[1]
    past = kernel.inputs[6].shape[2] if len(kernel.inputs) > 6 and kernel.inputs[6].shape else 0
    return (math.prod(q) // (3 if packed else 1) + math.prod(y)) * (keys + past)


def _einsum(kernel: Kernel) -> int:
    """Of two operands: the product of the sizes of all indices, less those that one of them sums alone.

    ValueError for three and more, whose order is up to the runtime.
    """
    terms, _, output = str(kernel.attributes["equation"]).replace(" ", "").partition("->")
    shapes = [a.shape for a in kernel.inputs]
    if len(shapes) == 1:
        return 0
    operands = [_indices(t, s) for t, s in zip(terms.split(","), shapes, strict=True)]
    first, second = operands
    sizes = dict(first)
    for index, size in second.items():
        sizes[index] = max(size, sizes.get(index, 1))
    counts = Counter(terms.replace(",", "").replace(".", ""))
    explicit = "->" in str(kernel.attributes["equation"])
    kept = set(output.replace(".", "")) if explicit else {i for i, n in counts.items() if n == 1}
    kept |= {index for index in sizes if index.startswith(".")}
    summed = (first.keys() & second.keys()) - kept
    return math.prod(sizes[i] for i in kept | summed) if summed else 0


def _indices(term: str, shape: Sequence[int]) -> dict[str, int]:
    """Sizes by index; the axes of an ellipsis are `.1`, `.2` and so on from the last."""
    before, dots, after = term.partition("...")
    n = len(shape) - len(before) - len(after) if dots else 0
    names = [*before, *(f".{n - i}" for i in range(n)), *after]
    return dict(zip(names, shape, strict=True))


def _linear(kernel: Kernel) -> int:
    """A row of coefficients per target or class."""
    batch = math.prod(kernel.inputs[0].shape[:-1])
    return batch * len(kernel.attributes["coefficients"])


_COUNTS: Mapping[str, Callable[[Kernel], int | None]] = {
    **dict.fromkeys(_GATES, _recurrent),
    **dict.fromkeys((*CONVOLUTIONS, "DeformConv", "QLinearConvTranspose"), _convolution),
    **dict.fromkeys(
        (*PRODUCTS, "GemmFastGelu", "GemmFloat8", "MatMulInteger16", "TransposeMatMul"), _product
    ),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4"), _packed_product),
    **dict.fromkeys(("Attention", "QAttention"), _attention),
    **dict.fromkeys(("LinearClassifier", "LinearRegressor"), _linear),
    "MultiHeadAttention": _heads_attention,
    "Einsum": _einsum,
}
