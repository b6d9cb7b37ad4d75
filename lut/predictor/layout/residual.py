"""Plain convolutions take in an addition and an activation: onnxruntime's ConvAddActivationFusion."""

from __future__ import annotations

from .steps import ORT, Step, Steps, ordered

_ACTIVATIONS = ("Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
_PARAMETERS = {"HardSigmoid": (("alpha", 0.2), ("beta", 0.5)), "LeakyRelu": (("alpha", 0.01),)}


def fuse_plain_sums(net: Steps) -> None:
    """Rewrite `net`: a convolution with a bias, read by one addition of its own shape and by nothing else."""
    readers: dict[str, list[Step]] = {}
    for step in net.steps:
        for name in step.reads:
            readers.setdefault(name, []).append(step)

    def only_reader(name: str) -> Step | None:
        found = readers.get(name, [])
        return found[0] if len(found) == 1 and name not in net.results else None

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


def _absorb(net: Steps, step: Step, other: str, absorbed: list[Step]) -> None:
    for one in (step, *absorbed):
        net.remove(one)
    net.add("FusedConv", ORT, step.attributes, [*step.reads, other], absorbed[-1].writes)


def _parameters(step: Step) -> dict[str, list[float]]:
    known = _PARAMETERS.get(step.op)
    return {"activation_params": [float(step.attributes.get(k, v)) for k, v in known]} if known else {}
