"""Weight rules: which mixes are trained, and who teaches whom."""

from __future__ import annotations

from hwnas.core.registry import bound, part
from hwnas.gradient.parts.weight_rules import WEIGHT_RULES
from tests.support.step_contexts import toy_step


def test_the_sandwich_trains_the_ends_and_draws_by_distillation() -> None:
    context = toy_step("proxyless")
    seen: list[tuple[int, ...] | None] = []
    context.supernet.register_forward_pre_hook(lambda net, args: seen.append(args[1].arch))
    assert bound(WEIGHT_RULES, part("sandwich", n=2))(context).loss > 0
    assert seen[:2] == [(1, 1, 1), (0, 0, 0)] and len(seen) == 4
