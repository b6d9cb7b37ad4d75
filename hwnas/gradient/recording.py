"""Which search steps can be recorded as CUDA graphs: those that run the same kernels at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwnas.core.registry import Part
from hwnas.tasks import CLASSIFICATION, Task

from .method import Method

_FIXED: Mapping[str, frozenset[str]] = {
    "relaxation": frozenset({"softmax", "sigmoid", "gumbel", "dirichlet", "topk", "softmax_noise"}),
    "policy": frozenset({"logits"}),
    "hypergradient": frozenset({"first_order", "single_level", "unrolled", "response"}),
    "weight rule": frozenset({"plain", "adversarial"}),
    "regulariser": frozenset({"beta_decay", "zero_one", "logit_norm", "entropy", "skip_target"}),
    "cost objective": frozenset({"budget", "add", "multiply_log", "power"}),
    "callback": frozenset({"stop_on_curvature"}),
    "task": frozenset({"classification"}),
}
"""Parts that run the same kernels whatever the values are, and read none of them. A part that is not named
here, such as one of a user's own, draws what runs, or may do so."""

_DROPPING = ("skip_dropout", "drop_path")


def why_eager(
    method: Method, objective: Part | None = None, *, compiled: bool = False, task: Task = CLASSIFICATION
) -> str | None:
    """Why the steps of a method cannot be recorded, as a clause; None where they can be.

    objective: instead of the method's own. task: by whose loss it learns.
    """
    if compiled:
        return "torch.compile runs its cells"
    for kind, p in _parts(method, objective or method.objective):
        if p.name not in _FIXED[kind]:
            return f"{kind} {p.name!r} decides anew at each step what runs, or reads results back"
    if task.name not in _FIXED["task"]:
        return f"the loss of the task {task.name} sends numbers to the device at each step"
    if method.policy.keywords.get("keep_untouched"):
        return "its policy rescales the options that were drawn"
    dropped = [name for stage in method.stages for name, _ in stage.edges if name in _DROPPING]
    if dropped and method.hypergradient.name == "unrolled":
        return f"hypergradient 'unrolled' repeats the draws of {dropped[0]}, which a graph cannot"
    return None


def _parts(method: Method, objective: Part) -> Iterator[tuple[str, Part]]:
    """The parts that act within a step, by their kind."""
    places = method.relax.parts
    for place in ("weight", "arch", *(["virtual"] if method.hypergradient.name == "unrolled" else [])):
        yield "relaxation", places[place]
    yield "policy", method.policy
    yield "hypergradient", method.hypergradient
    for stage in method.stages:
        yield "weight rule", stage.weight_rule or method.weight_rule
    for term in method.regularisers:
        yield "regulariser", term.regulariser
    yield "cost objective", objective
    for callback in method.callbacks:
        yield "callback", callback
