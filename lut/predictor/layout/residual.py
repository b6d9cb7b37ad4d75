"""Plain convolutions take in an addition and an activation: onnxruntime's ConvAddActivationFusion."""

from __future__ import annotations

from .steps import ORT, KernelGraph, KernelStep, ordered

_ACTIVATIONS = ("Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
_PARAMETERS = {"HardSigmoid": (("alpha", 0.2), ("beta", 0.5)), "LeakyRelu": (("alpha", 0.01),)}


def fuse_plain_sums(net: KernelGraph) -> None:
    """Rewrite `net`: a convolution with a bias, read by one addition of its own shape and by nothing else."""
    readers: dict[str, list[KernelStep]] = {}
    for step in net.steps:
        for name in step.reads:
            readers.setdefault(name, []).append(step)

    def only_reader(name: str) -> KernelStep | None:
        steps = readers.get(name, [])
        return steps[0] if len(steps) == 1 and name not in net.results else None

    for step in reversed(ordered(net.steps)):  # of two convolutions that are added, the later one does it
        if (step.domain, step.op) != ("", "Conv") or len(step.reads) != 3:
            continue
        add = only_reader(step.writes[0])
        if add is None or (add.domain, add.op) != ("", "Add") or add not in net.steps:
            continue
        other = next((name for name in add.reads if name != step.writes[0]), None)
        if other is None or net.shape(other) != net.shape(step.writes[0]):
            continue
        after = only_reader(add.writes[0])
        absorbed = [add]
        if after is not None and after.domain == "" and after.op in _ACTIVATIONS:
            absorbed.append(after)
            step.attributes = {**step.attributes, "activation": after.op, **_parameters(after)}
        _absorb(net, step, other, absorbed)


def _absorb(net: KernelGraph, step: KernelStep, other: str, absorbed: list[KernelStep]) -> None:
    for removed in (step, *absorbed):
        net.remove(removed)
    net.add("FusedConv", ORT, step.attributes, [*step.reads, other], absorbed[-1].writes)


def _parameters(step: KernelStep) -> dict[str, list[float]]:
    defaults = _PARAMETERS.get(step.op)
    if defaults is None:
        return {}
    return {"activation_params": [float(step.attributes.get(name, value)) for name, value in defaults]}
