"""Multiply-accumulates of kernels that are priced by what they move: recurrent layers and fused attention.

They are for the answer only; the features of these kernels do without them, so that prices stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from profilers.kernels import Kernel

_GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}

UNCOUNTED = frozenset((
    "MultiHeadAttention", "GroupQueryAttention", "DecoderMaskedMultiHeadAttention", "SparseAttention",
    "PackedAttention", "QAttention", "LongformerAttention", "DecoderAttention", "Einsum", "DeformConv",
    "MatMulNBits", "MatMulBnb4", "MoE", "QMoE", "DFT", "STFT", "ConvTransposeWithDynamicPads",
    "AttnLSTM",
))  # fmt: skip
"""Operators that multiply and whose work is not counted."""


def other_macs(kernel: Kernel) -> int | None:
    """The multiply-accumulates of such a kernel; 0 for one without any, None where they are not counted."""
    if kernel.op in UNCOUNTED:
        return None
    count = _COUNTS.get(kernel.op)
    if count is None:
        return 0
    try:
        return count(kernel)
    except (IndexError, ValueError, TypeError):  # an input is left out, or has a form of another version
        return None


def _recurrent(kernel: Kernel) -> int:
    """X: (steps, batch, inputs). Every gate of every step multiplies the input and the hidden state."""
    steps, batch, inputs = kernel.inputs[0].shape
    if kernel.attributes.get("layout"):
        batch, steps = steps, batch
    hidden = int(kernel.attributes["hidden_size"]) if "hidden_size" in kernel.attributes else 0
    if not hidden:
        raise ValueError("no hidden size")
    directions = 2 if kernel.attributes.get("direction") == "bidirectional" else 1
    return steps * batch * directions * _GATES[kernel.op] * hidden * (inputs + hidden)


def _attention(kernel: Kernel) -> int:
    """Of com.microsoft: X (batch, words, inputs), W (inputs, 3 * hidden). Of ONNX: Q, K, V as they are."""
    x = kernel.inputs[0].shape
    if kernel.domain != "com.microsoft":
        raise ValueError("inputs in two forms")
    _, columns = kernel.inputs[1].shape
    batch, words, inputs = x
    hidden = columns // 3
    return batch * words * inputs * columns + 2 * batch * words * words * hidden


_COUNTS: Mapping[str, Callable[[Kernel], int]] = {
    **dict.fromkeys(_GATES, _recurrent),
    "Attention": _attention,
}
