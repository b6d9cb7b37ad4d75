"""Channels last for int8: onnxruntime's NhwcTransformer and what its transpose optimiser then removes.

An int8 convolution runs with the channels last, and a transposition stands before and after it.
Transpositions are moved down through operations that do not care, where that saves some: n inputs that
lose one, m that get one, and one behind, unless a transposition there is met and cancelled. What is moved is
stated here by the layout in which each step runs. Written from the behaviour of `nhwc_transformer.cc` and
`onnx_transpose_optimization.cc`.
"""

from __future__ import annotations

from typing import Any

from .steps import ORT, KernelGraph, KernelStep, ordered

_SPLIT_LAST = [0, 3, 4, 1, 2]
"""Where each axis of (n, a, b, h, w) stands in (n, h, w, a, b)."""

_RENAMED = {"QLinearConv": "QLinearConv", "MaxPool": "NhwcMaxPool"}
"""Names in onnxruntime's domain with the channels last."""

_FOLLOWERS = frozenset({"MaxPool", "QLinearGlobalAveragePool", "Resize"})
"""They follow their input: the transposition is moved behind them in any case."""

_PAIRS = frozenset({"Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "PRelu", "Sub", "Sum", "Where"})
_QUANTISED_PAIRS = frozenset({"QLinearAdd", "QLinearMul"})
_INDIFFERENT = frozenset(
    {
        "Abs", "Cast", "Ceil", "Celu", "Clip", "Concat", "DequantizeLinear", "Elu", "Erf", "Exp", "Floor",
        "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Neg", "Pad", "QLinearAveragePool", "QLinearConcat",
        "QLinearLeakyRelu", "QLinearSigmoid", "QuantizeLinear", "Reciprocal", "ReduceMean", "Relu", "Round",
        "Selu", "Sigmoid", "Sign", "Slice", "Softplus", "Softsign", "Split", "Sqrt", "Tanh",
        "ThresholdedRelu",
    } | _PAIRS | _QUANTISED_PAIRS | _FOLLOWERS
)  # fmt: skip
"""They run in either layout; the transposition is moved behind them where that saves one."""

_FLAGGED = {"QLinearAveragePool", "QLinearConv", "QLinearGlobalAveragePool"}
_CHANNEL_AXIS = {"Concat", "QLinearConcat", "Split"}


class ChannelsLastPass:
    """The rewriting of one network; `run` once."""

    def __init__(self, net: KernelGraph) -> None:
        """`net` is changed in place."""
        self._net = net
        self._last: dict[str, str] = {}
        self._plain: set[str] = set()
        self._born_last: set[str] = set()
        self._readers: dict[str, list[KernelStep]] = {}
        self._wanted: dict[int, bool] = {}
        self._maker: dict[str, KernelStep] = {}

    def run(self) -> None:
        """Rewrite every step, then give back what leaves the network."""
        steps = ordered(self._net.steps)
        if not any(self._is_anchor(step) for step in steps):
            return
        for step in steps:
            for name in step.reads:
                self._readers.setdefault(name, []).append(step)
        for step in reversed(steps):
            self._wanted[id(step)] = any(
                self._is_anchor(reader)
                or self._is_transpose(reader)
                or (reader.op in _INDIFFERENT and self._wanted[id(reader)])
                for name in step.writes
                for reader in self._readers.get(name, ())
            )
        self._maker = {name: step for step in steps for name in step.writes}
        for step in steps:
            self._rewrite(step)
        for name in sorted(self._net.results & self._born_last):
            self._as_plain(name)
        self._sweep()

    def _rewrite(self, step: KernelStep) -> None:
        inputs = [name for name in step.reads if name in self._maker and self._rank(name) >= 3]
        last = sum(name in self._born_last for name in inputs)
        if self._is_anchor(step):
            self._turn(step, step.reads[:1])
        elif last and self._is_transpose(step):
            self._merge(step)
        elif last and self._gains(step, last, inputs):
            self._turn(step, inputs)
        elif not (last and self._splits_channels(step)):
            for name in inputs:
                self._as_plain(name)

    def _splits_channels(self, step: KernelStep) -> bool:
        """Whether it was rewritten: a Reshape that splits channels, before a transposition that does both."""
        image, result = step.reads[0], step.writes[0]
        before, after = self._net.shape(image), self._net.shape(result)
        readers = self._readers.get(result, [])
        if step.op != "Reshape" or len(after) != 5 or [before[0], *before[2:]] != [after[0], *after[3:]]:
            return False
        if len(readers) != 1 or readers[0].op != "Transpose" or result in self._net.results:
            return False
        n, a, b, h, w = after
        step.reads = [self._last[image], *step.reads[1:]]
        step.writes = [self._net.tensor(result, "last", [n, h, w, a, b])]
        readers[0].reads = list(step.writes)
        readers[0].attributes["perm"] = [_SPLIT_LAST[axis] for axis in readers[0].attributes["perm"]]
        return True

    def _gains(self, step: KernelStep, last: int, inputs: list[str]) -> bool:
        """Whether to move the transpositions of `last` inputs behind it; those of one pixel are free."""
        behind = 0 if self._wanted[id(step)] else 1
        plain = [name for name in inputs if name not in self._born_last]
        plain = [name for name in plain if any(n > 1 for n in self._net.shape(name)[2:])]
        if step.op == "MaxPool" and self._net.tensors[step.reads[0]].element_type == "float":
            return False
        keeps_axes = len({self._rank(name) for name in [*inputs, *step.writes]}) == 1
        indifferent = step.op in _INDIFFERENT and last - len(plain) > behind
        return keeps_axes and (step.op in _FOLLOWERS or indifferent)

    def _is_transpose(self, step: KernelStep) -> bool:
        return step.op == "Transpose" and self._rank(step.reads[0]) >= 3 and "perm" in step.attributes

    def _merge(self, step: KernelStep) -> None:
        """A transposition of the network's own after ours: one that does both, or none."""
        step.reads = [self._last[step.reads[0]]]
        first, result = _first(self._rank(step.writes[0])), step.writes[0]
        step.attributes["perm"] = [first[axis] for axis in step.attributes["perm"]]
        if step.attributes["perm"] == sorted(first) and result not in self._net.results:
            for reader in self._readers.get(result, ()):
                reader.reads = [step.reads[0] if name == result else name for name in reader.reads]

    def _sweep(self) -> None:
        """Forget transpositions that nothing reads any more."""
        read = {name for step in self._net.steps for name in step.reads} | self._net.results
        for step in list(self._net.steps):
            if step.op == "Transpose" and step.writes[0] not in read:
                self._net.remove(step)

    def _is_anchor(self, step: KernelStep) -> bool:
        """A quantised convolution."""
        return (step.domain, step.op) == ("", "QLinearConv")

    def _rank(self, name: str) -> int:
        return len(self._net.shape(name))

    def _turn(self, step: KernelStep, inputs: list[str]) -> None:
        """Run `step` with the channels of these inputs last."""
        turned, rank = {name: self._as_last(name) for name in inputs}, self._rank(inputs[0])
        step.reads = [
            turned[name] if name in turned else self._turned_weight(name, step.op, place, rank)
            for place, name in enumerate(step.reads)
        ]
        for name in step.writes:
            self._last[name] = self._turned(name)
            self._born_last.add(name)
        step.writes = [self._last[name] for name in step.writes]
        if step.op in _CHANNEL_AXIS and "axis" in step.attributes:
            step.attributes["axis"] = _first(self._rank(step.writes[0]))[int(step.attributes["axis"])]
        if "axes" in step.attributes:
            places = _first(self._rank(step.writes[0]))
            step.attributes["axes"] = [places[int(axis)] for axis in step.attributes["axes"]]
        if step.op in _FLAGGED:
            step.attributes["channels_last"] = 1
        if step.op in _RENAMED:
            step.op, step.domain = _RENAMED[step.op], ORT
            self._net.renew(step)

    def _turned(self, name: str) -> str:
        n, c, *size = self._net.shape(name)
        return self._net.tensor(name, "last", [n, *size, c])

    def _turned_weight(self, name: str, op: str, place: int, rank: int) -> str:
        """An operand that is a weight is transposed beforehand; float scalars stay."""
        role, _, shape = self._net.tensors[name]
        operand = (op in _PAIRS and len(shape) > 0) or (op in _QUANTISED_PAIRS and place in (0, 3))
        if role != "weight" or not operand:
            return name
        n, c, *size = [1] * (rank - len(shape)) + list(shape)
        return self._net.tensor(name, "last", [n, *size, c])

    def _as_last(self, name: str) -> str:
        if name in self._last:
            return self._last[name]
        source, perm, before = name, _last(self._rank(name)), self._maker.get(name)
        if before is not None and self._is_transpose(before):
            source, perm = before.reads[0], [before.attributes["perm"][axis] for axis in perm]
        if perm == sorted(perm):
            self._last[name] = source
        else:
            self._last[name] = self._turned(name)
            self._transpose(perm, source, self._last[name])
        return self._last[name]

    def _as_plain(self, name: str) -> None:
        if name in self._born_last and name not in self._plain:
            self._plain.add(name)
            self._transpose(_first(self._rank(name)), self._last[name], name)

    def _transpose(self, perm: list[int], source: str, result: str) -> None:
        attributes: dict[str, Any] = {"perm": list(perm)}
        self._net.add("Transpose", "", attributes, [source], [result])


def _last(rank: int) -> list[int]:
    """The transposition that moves axis 1 to the end."""
    return [0, *range(2, rank), 1]


def _first(rank: int) -> list[int]:
    """The transposition that moves the last axis to place 1."""
    return [0, rank - 1, *range(1, rank - 1)]
