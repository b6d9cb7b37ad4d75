"""Supernets whose sizes are trained and whose policy stays."""

from __future__ import annotations

import pytest
import torch

from tests.support.signatures.claims import ALL, is_architecture
from tests.support.toy_cell import OPERATIONS, cell_costs
from tests.support.watched import Ran, craft, none_first


def elastic(ran: Ran) -> None:
    """The largest architecture, the smallest, two others; the policy stays."""
    costs = cell_costs(ran.space)
    for step in ran.steps:
        assert [c.kind for c in step.calls] == ["train"] * 4 and not step.moved
        archs = [c.mix.arch for c in step.calls]
        assert all(a is not None and ran.space.valid(a) for a in archs)
        found = costs.of([a for a in archs if a is not None])["latency_ms"]
        # four nodes of two edges: all sep_conv 4 ms, all skips 0.2 ms; two edges left out at 0.1 ms
        assert found[0] == pytest.approx(8 * 4.0 + 2 * 0.1) and found[1] == pytest.approx(8 * 0.2 + 2 * 0.1)
    assert len({c.mix.arch for s in ran.steps for c in s.calls[2:]}) > 4
    is_architecture(ran, "epoch")
    assert ran.decode(craft(ran.space, drawn="weak")) == none_first(ran.space, "weak")


def ofa(ran: Ran) -> None:
    """The largest sizes, then smaller kernels, depths, widths; the largest network teaches 1, 2, 2, 4, 4.

    In the toy `sep_conv` is the largest; a skip is less depth, by one step at node 3, by two at node 2;
    `weak` has a smaller kernel in normal cells, in reduction cells less width, by two steps at node 3.
    """
    stages = [[s for i, s in enumerate(ran.steps) if ran.search.timetable.at(i).index == n] for n in range(6)]
    assert [{len(s.calls) for s in stage} for stage in stages] == [{1}, {2}, {3}, {3}, {5}, {5}]
    assert not any(s.moved for s in ran.steps)
    for n, stage in enumerate(stages):
        for call in (c for s in stage for c in s.calls):
            assert call.mix.arch is not None and ran.space.valid(call.mix.arch)
            for choice, option in zip(ran.choices, call.mix.arch, strict=True):
                (kind, late) = choice.name.split(".")[0], choice.name.endswith("3")
                first = {
                    "skip_connect": 2 if late else 3,
                    "weak": 1 if kind == "normal" else 5 if late else 4,
                }
                assert n >= first.get(OPERATIONS[option], 0)
        for step in stage if n else ():
            teacher = step.calls[0].mix.arch or ()
            assert teacher.count(OPERATIONS.index("sep_conv")) == 8 and teacher.count(0) == 2
        if n:
            assert torch.equal(stage[0].calls[0].classify, ran.classify_after[ran.steps.index(stage[0]) - 1])
    drawn = {o for s in stages[5] for c in s.calls for o in c.mix.arch or ()}
    assert drawn == set(ALL)
    assert [net.sorted for net in ran.nets] == [0, 0, 0, 0, 1, 0]
    assert ran.search.weights.settings.lr == pytest.approx(7.5e-3)
    is_architecture(ran, "epoch")
    assert ran.decode(craft(ran.space, drawn="weak")) == none_first(ran.space, "weak")
