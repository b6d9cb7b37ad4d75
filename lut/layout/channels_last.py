"""Channels last for int8: onnxruntime's NhwcTransformer and what its transpose optimiser then removes.

An int8 convolution or max-pooling runs with the channels last, and a transposition stands before and after
it. Transpositions are moved down through operations that do not care, where that saves some: n inputs that
lose one, m that get one, and one behind, unless a transposition there is met and cancelled. What is moved is
stated here by the layout in which each step runs. Written from the behaviour of `nhwc_transformer.cc` and
`onnx_transpose_optimization.cc`.
"""

from __future__ import annotations

from typing import Any

from .steps import ORT, Step, Steps

_LAST, _FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_SPLIT_LAST = [0, 3, 4, 1, 2]
"""Where each axis of (n, a, b, h, w) stands in (n, h, w, a, b)."""

_ANCHORS = {("", "QLinearConv"): "QLinearConv", ("", "MaxPool"): "NhwcMaxPool"}
"""Operations that ask for the channels last, and their names in onnxruntime's domain then."""

_GLOBAL_POOL = "QLinearGlobalAveragePool"
"""It follows its input: the transposition is moved behind it in any case."""

_INDIFFERENT = frozenset(
    {
        *(
            "QLinearAdd",
            "QLinearAveragePool",
            "QLinearConcat",
            "QLinearLeakyRelu",
            "QLinearMul",
            "QLinearSigmoid",
        ),
        *("Add", "Cast", "Concat", "DequantizeLinear", "Div", "Max", "Min", "Mul", "QuantizeLinear", "Split"),
        *("Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Sub", "Sum", "Tanh"),
    }
)
_POOLS = {"QLinearAveragePool", _GLOBAL_POOL}
_CHANNEL_AXIS = {"Concat", "QLinearConcat", "Split"}


class ChannelsLastPass:
    """The rewriting of one network; `run` once."""

    def __init__(self, net: Steps) -> None:
        """`net` is changed in place."""
        self._net = net
        self._last: dict[str, str] = {}
        self._plain: set[str] = set()
        self._born_last: set[str] = set()
        self._readers: dict[str, list[Step]] = {}
        self._wanted: dict[int, bool] = {}

    def run(self) -> None:
        """Rewrite every step, then give back what leaves the network."""
        steps = list(self._net.steps)
        if not any(self._is_anchor(step) for step in steps):
            return
        for step in steps:
            for name in step.reads:
                self._readers.setdefault(name, []).append(step)
        for step in reversed(steps):
            self._wanted[id(step)] = any(
                self._is_anchor(reader) or (reader.op in _INDIFFERENT and self._wanted[id(reader)])
                for name in step.writes
                for reader in self._readers.get(name, ())
            )
        made = {name for step in steps for name in step.writes}
        for step in steps:
            self._rewrite(step, made)
        for name in sorted(self._net.results & self._born_last):
            self._as_plain(name)

    def _rewrite(self, step: Step, made: set[str]) -> None:
        inputs = [name for name in step.reads if name in made and len(self._net.shape(name)) == 4]
        last = sum(name in self._born_last for name in inputs)
        if self._is_anchor(step):
            step.op, step.domain = _ANCHORS[step.domain, step.op], ORT
            self._net.renew(step)
            self._turn(step, step.reads[:1])
            if step.op == "QLinearConv":
                step.attributes["channels_last"] = 1
        elif last and self._gains(step, last, len(inputs)):
            if step.op in _POOLS:
                step.attributes["channels_last"] = 1
            self._turn(step, inputs)
        elif not (last and self._splits_channels(step)):
            for name in inputs:
                self._as_plain(name)

    def _splits_channels(self, step: Step) -> bool:
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

    def _gains(self, step: Step, last: int, n: int) -> bool:
        """Whether to move the transpositions of `last` of n inputs behind the step."""
        behind = 0 if self._wanted[id(step)] else 1
        return step.op == _GLOBAL_POOL or (step.op in _INDIFFERENT and last - (n - last) > behind)

    def _is_anchor(self, step: Step) -> bool:
        """A quantised convolution or max-pooling of a picture."""
        if (step.domain, step.op) not in _ANCHORS or len(step.writes) > 1:
            return False
        _, kind, shape = self._net.tensors[step.reads[0]]
        return kind in ("uint8", "int8") and len(shape) == 4

    def _turn(self, step: Step, inputs: list[str]) -> None:
        """Run `step` with the channels of these inputs last."""
        turned = {name: self._as_last(name) for name in inputs}
        step.reads = [turned.get(name, name) for name in step.reads]
        for name in step.writes:
            self._last[name] = self._turned(name)
            self._born_last.add(name)
        step.writes = [self._last[name] for name in step.writes]
        if step.op in _CHANNEL_AXIS and "axis" in step.attributes:
            step.attributes["axis"] = _FIRST[int(step.attributes["axis"])]

    def _turned(self, name: str) -> str:
        n, c, h, w = self._net.shape(name)
        turned = self._net.tensor(name, "last", [n, h, w, c])
        return turned

    def _as_last(self, name: str) -> str:
        if name not in self._last:
            self._last[name] = self._turned(name)
            self._transpose(_LAST, name, self._last[name])
        return self._last[name]

    def _as_plain(self, name: str) -> None:
        if name in self._born_last and name not in self._plain:
            self._plain.add(name)
            self._transpose(_FIRST, self._last[name], name)

    def _transpose(self, perm: list[int], source: str, result: str) -> None:
        attributes: dict[str, Any] = {"perm": list(perm)}
        self._net.add("Transpose", "", attributes, [source], [result])
