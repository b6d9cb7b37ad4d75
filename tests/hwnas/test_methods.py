"""The table of methods: a signature per row, and each loses it with a part of plain DARTS."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas.gradient.controller import Controller
from hwnas.gradient.method import Method, relax
from hwnas.gradient.methods import DARTS, METHODS, add_method
from hwnas.gradient.regularisers import REGULARISERS, View
from hwnas.gradient.relax import dense
from hwnas.gradient.stage import Stage
from hwnas.gradient.timetable import Timetable
from hwnas.mix import Choice
from hwnas.registry import part
from hwnas.testing.toy_cell import KEEP, OPERATIONS, cell_costs
from hwnas.testing.watched import Ran, craft, hurtful_decoding, none_first
from targets.errors import UsageError

ALL = tuple(range(len(OPERATIONS)))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.allclose(a, b, atol=1e-6))


def is_softmax(ran: Ran, kind: str) -> None:
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.active == (ALL,) * len(ran.choices)
            for w, a in zip(call.mix.weights, call.logits, strict=True):
                assert close(w, (a / step.moment.t).softmax(0))


def is_not_softmax(ran: Ran, kind: str) -> None:
    for step in ran.steps:
        for call in step.of(kind):
            for w, a in zip(call.mix.weights, call.logits, strict=True):
                assert not close(w, (a / step.moment.t).softmax(0))


def is_architecture(ran: Ran, kind: str) -> None:
    """One operation per edge, and as many edges per node as are kept."""
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.arch is not None and ran.space.valid(call.mix.arch)
            assert all(
                float(w[i].detach()) == 1 for w, i in zip(call.mix.weights, call.mix.arch, strict=True)
            )


def runs(ran: Ran, *kinds: str) -> None:
    """What a step in which the policy learns runs, in order."""
    for step in ran.learning:
        assert [c.kind for c in step.calls] == list(kinds)


def decodes_by_weight(ran: Ran) -> None:
    assert ran.decode(craft(ran.space)) == none_first(ran.space, "sep_conv")


def regularised_by(ran: Ran, name: str, weight: Callable[[float], float]) -> None:
    some = False
    for step in ran.learning:
        assert step.arch is not None and step.view is not None
        extra = float(step.arch.score.total.detach()) - step.arch.found.loss
        expected = weight(step.moment.progress) * float(REGULARISERS[name](step.view).detach())
        assert extra == pytest.approx(expected, abs=1e-5)
        some = some or abs(extra) > 1e-6
    assert some


def darts(ran: Ran) -> None:
    """Every option runs, weighted by its softmax; one validation and one training pass."""
    runs(ran, "val", "train")
    is_softmax(ran, "val")
    is_softmax(ran, "train")
    decodes_by_weight(ran)


def unrolled(ran: Ran, r: float) -> None:
    """Virtual step, validation at w', training at w + eps v and w - eps v; then the step from w."""
    runs(ran, "train", "val", "train", "train", "train")
    for step in ran.learning:
        at = [c.weights for c in step.calls]
        assert not torch.equal(at[1], at[0]) and torch.equal(at[4], at[0])
        assert float((at[2] - at[0]).norm()) == pytest.approx(r, rel=1e-2)
        assert close(at[2] - at[0], at[0] - at[3])


def darts_2(ran: Ran) -> None:
    unrolled(ran, 0.01)
    is_softmax(ran, "val")


def darts_2_exact(ran: Ran) -> None:
    runs(ran, "train", "val", "train")
    for step in ran.learning:
        at = [c.weights for c in step.calls]
        assert not torch.equal(at[1], at[0]) and torch.equal(at[2], at[0])


def reused(ran: Ran, *kinds: str) -> None:
    """The weights of the validation pass are those that the next step begins with."""
    runs(ran, *kinds)
    for step, after in zip(ran.learning, ran.learning[1:], strict=False):
        at = [c.weights for c in step.calls]
        assert not torch.equal(at[1], at[0]) and torch.equal(at[1], after.calls[0].weights)
        assert float((at[2] - at[0]).norm()) == pytest.approx(0.3, rel=1e-2)


def hyperdarts(ran: Ran) -> None:
    """Weights are trained under a perturbed policy, the channels behind the norms answering to it."""
    runs(ran, "val", "train")
    is_softmax(ran, "val")
    is_not_softmax(ran, "train")
    last = ran.learning[-1].of("train")[0]
    assert not close(last.norms, torch.ones_like(last.norms))
    assert close(ran.learning[-1].of("val")[0].norms, torch.ones_like(last.norms))


def p_darts(ran: Ran) -> None:
    first, second, third = (ran.steps[i : i + 4] for i in (0, 4, 8))
    assert [s[0].calls[0].cells for s in (first, second, third)] == [2, 3, 4]
    # ceil(4 x 5/8) and ceil(4 x 3/8) of four options, the least probable gone
    assert [{len(a) for a in s[-1].calls[-1].mix.active} for s in (first, second, third)] == [{4}, {3}, {2}]
    for step in (*second, *third):
        before = first if step in second else second
        for call in step.calls:
            kept = zip(call.mix.active, before[-1].after, before[-1].calls[0].mix.active, strict=True)
            for active, logits, had in kept:
                assert set(active) == set(sorted(had, key=lambda i: -float(logits[i]))[: len(active)])
    # p0 (1 - e/E) while frozen, p0 exp(-5 (e/E - 0.4)) after; p0 = 0, 0.4, 0.7
    for p0, stage in ((0.0, first), (0.4, second), (0.7, third)):
        expected = [p0, p0 * 2 / 3, p0 * 2.718281828 ** (-5 * (2 / 3 - 0.4)), p0 * 2.718281828**-3]
        assert [s.calls[0].wrapping.skip_dropout for s in stage] == pytest.approx(expected)
        assert [s.moved for s in stage] == [False, False, True, True]
        assert all(float(a.abs().max()) < 0.01 for a in stage[0].logits)  # begun anew
    assert ran.decode(craft(ran.space, best="skip_connect")).count(OPERATIONS.index("skip_connect")) == 2 + 4


def pc_darts(ran: Ran) -> None:
    assert all(c.wrapping.partial == 4 for s in ran.steps for c in s.calls)
    assert [s.moved for s in ran.steps] == [False, True, True, True]
    for step in ran.steps:
        for call in step.calls:
            edges = call.mix.edge_weights
            assert edges is not None
            edges = edges.detach()
            # normal.2 has two edges, normal.3 three
            assert [float(edges[:2].sum()), float(edges[2:5].sum())] == pytest.approx([1, 1])


def dal(ran: Ran) -> None:
    regularised_by(ran, "dal", lambda progress: 1.0)


def topk(ran: Ran, kind: str) -> None:
    """m times the top-1 of its edge and the top-2 of its node: sharper than softmax, and growing so."""
    is_not_softmax(ran, kind)
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.active == (ALL,) * len(ran.choices)
    first, last = ran.steps[0].of(kind)[0], ran.steps[-1].of(kind)[0]
    assert float(first.mix.weights[0].detach().max()) < 0.25 < 1.01 * 0.25
    # T = 200 at the end, logits 0.01 apart: the entries part
    spread = [w.detach().max() / w.detach().min() for w in (first.mix.weights[0], last.mix.weights[0])]
    assert spread[1] > spread[0]


def dadarts(ran: Ran) -> None:
    unrolled_pattern(ran)
    topk(ran, "val")
    is_architecture(ran, "train-last")
    is_architecture(ran, "epoch")
    dal(ran)


def unrolled_pattern(ran: Ran) -> None:
    runs(ran, "train", "val", "train", "train", "train")


def hd_on_weights(ran: Ran) -> None:
    unrolled_pattern(ran)
    is_softmax(ran, "val")
    is_architecture(ran, "train-last")
    is_architecture(ran, "epoch")


def topk_on_alphas(ran: Ran) -> None:
    unrolled_pattern(ran)
    topk(ran, "val")
    is_softmax(ran, "train")


def topk_on_weights(ran: Ran) -> None:
    unrolled_pattern(ran)
    topk(ran, "train-last")
    is_softmax(ran, "val")
    is_not_softmax(ran, "epoch")


def dal_on_alphas(ran: Ran) -> None:
    unrolled_pattern(ran)
    is_softmax(ran, "val")
    dal(ran)


def gates(ran: Ran, probed: int) -> None:
    runs(ran, "val", "train")
    is_architecture(ran, "train")
    is_architecture(ran, "epoch")
    for step in ran.steps:
        for call in step.of("val"):
            assert all(len(a) == 1 for a in call.mix.active)
            assert all(len(p) == probed for p in call.mix.probe)


def every(ran: Ran, n: int) -> None:
    """Weight steps per arch step in a long search."""
    timetable = Timetable(ran.method.stages, 5000, None)
    assert {timetable.every(s) for s in ran.method.stages} == {n}


def gates_rest_first(ran: Ran) -> None:
    """A quarter of the steps warms up where the weights are untrained."""
    assert [s.moved for s in ran.steps] == [False, True, True, True]


def proxyless(ran: Ran) -> None:
    gates(ran, 1)
    every(ran, 5)
    gates_rest_first(ran)
    for step in ran.learning:
        mix = step.of("val")[0].mix
        moved = []
        for old, new, a, p in zip(step.logits, step.after, mix.active, mix.probe, strict=True):
            untouched = sorted(set(ALL) - {*a, *p})
            assert close(old.softmax(0)[untouched], new.softmax(0)[untouched])
            moved.append(not close(old.softmax(0)[list(a)], new.softmax(0)[list(a)]))
        assert any(moved)


def proxyless_full(ran: Ran) -> None:
    gates(ran, 3)
    every(ran, 5)
    gates_rest_first(ran)


def sampled(ran: Ran, n: int) -> None:
    """n architectures in forward passes only, then one weight step; the baseline moves by a hundredth."""
    runs(ran, *["forward"] * n, "train")
    is_architecture(ran, "forward")
    is_architecture(ran, "train")
    first, second = ran.learning[:2]
    assert first.arch is not None and second.arch is not None
    b = first.baseline
    assert second.baseline == pytest.approx(0.99 * b + 0.01 * second.mean_reward, abs=1e-4)


def proxyless_rl(ran: Ran) -> None:
    sampled(ran, 10)
    is_architecture(ran, "epoch")
    every(ran, 16)
    gates_rest_first(ran)


def enas(ran: Ran, n: int = 10, intervals: int = 9) -> None:
    sampled(ran, n)
    assert isinstance(ran.policy, Controller)
    every(ran, intervals)
    # ten draws of a policy that always draws skips; the decoder ranks them and never sees the scores
    view = craft(ran.space, drawn="weak")
    assert ran.decode(view) == none_first(ran.space, "weak")


def enas_prior(ran: Ran) -> None:
    enas(ran)
    fresh = ran.method.make_policy(ran.choices, torch.Generator().manual_seed(0))
    share = torch.stack(fresh.soft_mix().weights).mean(0)
    # logits 1.1/2.5 tanh(10) + 0.25 against -0.25: e^(0.44 + 0.5) = 2.56 times as likely
    assert float(share[2] / share[[1, 3]].mean()) > 1.5


def enas_macro(ran: Ran) -> None:
    enas(ran, 20, intervals=7)
    assert isinstance(ran.policy, Controller) and ran.policy._scales == (1.5, 1.5)
    # a skip into a second layer, two into a third, each of p = 1/2: KL 0.5 log(0.5/0.4) + 0.5 log(0.5/0.6)
    skips = tuple(Choice(f"layer{n}.{i}", ("none", "skip_connect")) for n, i in ((1, 0), (2, 0), (2, 1)))
    even = dense((torch.full((2,), 0.5),) * 3)
    (term,) = ran.search.objective.regularisers
    assert term.weight.at(0.5) * float(term.term(View(even, even, (), skips))) == pytest.approx(
        0.8 * (0.0204110 + 2 * 0.0204110) / 2, rel=1e-4
    )


def temperature(ran: Ran, start: float, end: float) -> None:
    assert [ran.steps[0].moment.t, ran.steps[-1].moment.t] == pytest.approx([start, end])


def gdas(ran: Ran) -> None:
    runs(ran, "val", "train")
    temperature(ran, 10.0, 0.1)
    is_architecture(ran, "epoch")
    for step in ran.steps:
        for call in step.calls:
            assert call.mix.arch is not None and not any(call.mix.probe)
    # soft backward: a gradient for options that did not run
    assert any((g != 0).all() for g in ran.learning[0].gradients)


def concrete(ran: Ran, kind: str) -> None:
    is_not_softmax(ran, kind)
    for step in ran.steps:
        for call in step.of(kind):
            assert call.mix.active == (ALL,) * len(ran.choices)
            assert all(float(w.detach().sum()) == pytest.approx(1, abs=1e-5) for w in call.mix.weights)


def snas(ran: Ran) -> None:
    runs(ran, "train")
    temperature(ran, 1.0, 0.03)
    concrete(ran, "train")
    is_architecture(ran, "epoch")


def fbnet(ran: Ran) -> None:
    runs(ran, "val", "train")
    temperature(ran, 5.0, 0.1)
    concrete(ran, "val")
    concrete(ran, "train")
    is_architecture(ran, "epoch")
    assert [s.moved for s in ran.steps] == [False, True, True, True]


def drnas(ran: Ran) -> None:
    runs(ran, "val", "train")
    is_not_softmax(ran, "val")
    is_not_softmax(ran, "train")
    is_not_softmax(ran, "epoch")
    assert [s.calls[0].wrapping.partial for s in ran.steps] == [6] * 4 + [4] * 4
    assert [{len(a) for a in s.calls[0].mix.active} for s in ran.steps] == [{4}] * 4 + [{2}] * 4
    assert [s.moved for s in ran.steps] == [False, False, True, True] * 2
    assert all(torch.equal(a, b) for a, b in zip(ran.steps[3].after, ran.steps[4].logits, strict=True))
    assert torch.equal(ran.steps[4].calls[0].classify, ran.classify_after[3])
    regularised_by(ran, "logit_norm", lambda progress: 1e-3)
    logits = ran.policy.free_logits()[0].detach()
    beta = torch.nn.functional.elu(logits) + 1
    soft = ran.policy.soft_mix().weights[0].detach()
    assert close(soft[soft > 0], beta / beta.sum())


def fair_darts(ran: Ran) -> None:
    runs(ran, "val", "train")
    for step in ran.steps:
        for call in (*step.calls, *step.epoch):
            for w, a in zip(call.mix.weights, call.logits, strict=True):
                assert close(w, a.sigmoid())
    regularised_by(ran, "zero_one", lambda progress: 10.0)
    assert close(ran.policy.soft_mix().weights[0], ran.policy.free_logits()[0].sigmoid())


def darts_minus(ran: Ran) -> None:
    assert [s.calls[0].wrapping.aux_skip for s in ran.steps] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    is_softmax(ran, "val")


def beta_darts(ran: Ran) -> None:
    regularised_by(ran, "beta_decay", lambda progress: 50 * progress)
    is_softmax(ran, "val")


def off_softmax(ran: Ran, step: int) -> float:
    """How far the mix that trains the weights is from the softmax, in its farthest entry."""
    (call,) = ran.steps[step].of("train-last")
    return max(
        float((w - a.softmax(0)).abs().max()) for w, a in zip(call.mix.weights, call.logits, strict=True)
    )


def smooth_rs(ran: Ran) -> None:
    """Noise from 0.03 at the first step to 0.3 at the last; 0.08: after the normalisation of four options."""
    runs(ran, "val", "train")
    is_softmax(ran, "val")
    is_not_softmax(ran, "train")
    assert off_softmax(ran, 0) < 0.08 and off_softmax(ran, -1) > 0.1


def smooth_adv(ran: Ran) -> None:
    runs(ran, "val", *["train"] * 8)
    for step in ran.steps:
        losses = [c.loss for c in step.of("train")]
        assert losses[-1] > losses[0]
    is_not_softmax(ran, "train-last")
    assert off_softmax(ran, 0) < 0.08 and off_softmax(ran, -1) > 0.1


def oles(ran: Ran) -> None:
    runs(ran, "val", "train", "val")
    (callback,) = ran.callbacks
    cosines = callback.state["cosines"]
    assert {len(c) for c in cosines.values()} == {4}
    assert all(-1.001 <= x <= 1.001 for c in cosines.values() for x in c)


def darts_pt(ran: Ran) -> None:
    runs(ran, "val", "train")
    space = ran.space
    view, hurtful = hurtful_decoding(space)
    assert ran.decode(view) == hurtful


def robust_darts(ran: Ran) -> None:
    unrolled_pattern(ran)
    (callback,) = ran.callbacks
    assert len(callback.state["eigenvalues"]) == 2  # one per epoch


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


SIGNATURES: dict[str, Callable[[Ran], None]] = {
    "darts": darts,
    "darts-2": darts_2,
    "darts-2-exact": darts_2_exact,
    "darts-2-reuse": lambda ran: reused(ran, "train", "val", "train", "train"),
    "darts-2-fast": lambda ran: reused(ran, "train", "val", "train"),
    "hyperdarts": hyperdarts,
    "p-darts": p_darts,
    "pc-darts": pc_darts,
    "dadarts": dadarts,
    "dadarts-hd-on-weights": hd_on_weights,
    "dadarts-topk-on-alphas": topk_on_alphas,
    "dadarts-topk-on-weights": topk_on_weights,
    "dadarts-dal-on-alphas": dal_on_alphas,
    "proxyless": proxyless,
    "proxyless-full": proxyless_full,
    "proxyless-rl": proxyless_rl,
    "enas": enas,
    "enas-prior": enas_prior,
    "enas-macro": enas_macro,
    "gdas": gdas,
    "snas": snas,
    "drnas": drnas,
    "fair-darts": fair_darts,
    "darts-minus": darts_minus,
    "beta-darts": beta_darts,
    "smooth-darts-rs": smooth_rs,
    "smooth-darts-adv": smooth_adv,
    "oles": oles,
    "darts-pt": darts_pt,
    "robust-darts": robust_darts,
    "elastic": elastic,
    "ofa": ofa,
    "fbnet": fbnet,
}

PARTS = ("policy", "hypergradient", "weight_rule", "regularisers", "decode", "callbacks")
STAGE_PARTS = (
    *("frozen", "warmup", "arch_every", "temperature", "start", "lr"),
    *("cells", "options", "elastic", "edges", "weight_rule"),
)
"""What makes an algorithm; the other fields are constants and text."""


@pytest.mark.parametrize("name", list(METHODS))
def test_each_row_runs_its_published_algorithm(name: str) -> None:
    SIGNATURES[name](Ran(METHODS[name]))


def swaps() -> list[Any]:
    """Each row with one distinguishing part swapped for plain DARTS's; places and stage fields one by one."""
    out: list[Any] = []
    plain_stage = Stage("search")
    for name in METHODS:
        row = METHODS[name]
        changes: list[tuple[str, dict[str, Any]]] = [
            (field, {field: getattr(DARTS, field)})
            for field in PARTS
            if getattr(row, field) != getattr(DARTS, field)
        ]
        for place, own in row.relax.parts.items():
            if own != DARTS.relax.parts[place] and place != "virtual":
                all_places = row.relax.parts | {place: DARTS.relax.parts[place]}
                changes.append((f"relax.{place}", {"relax": relax(**all_places)}))
        for field in STAGE_PARTS:
            plain = getattr(plain_stage, field)
            if any(getattr(s, field) != plain for s in row.stages):
                stages = tuple(dataclasses.replace(s, **{field: plain}) for s in row.stages)
                changes.append((f"stages.{field}", {"stages": stages}))
        for what, change in changes:
            out.append(pytest.param(name, dataclasses.replace(row, **change), id=f"{name}-{what}"))
    return out


@pytest.mark.parametrize(("name", "swapped"), swaps())
def test_a_row_with_a_part_of_plain_darts_loses_its_signature(name: str, swapped: Method) -> None:
    with pytest.raises((AssertionError, UsageError, ValueError)):
        SIGNATURES[name](Ran(swapped))


def test_every_row_has_a_part_that_plain_darts_lacks() -> None:
    swapped = {p.values[0] for p in swaps()}
    assert swapped == set(METHODS) - {"darts"}


@pytest.mark.parametrize("place", ["weight", "arch"])
def test_plain_darts_loses_its_signature_with_gates(place: str) -> None:
    gated = dataclasses.replace(DARTS, relax=relax(**DARTS.relax.parts | {place: part("gumbel_hard")}))
    with pytest.raises(AssertionError):
        darts(Ran(gated))


def test_a_row_whose_policy_cannot_learn_says_so() -> None:
    stuck = dataclasses.replace(DARTS, relax=relax("softmax", "sampled"))
    with pytest.raises(UsageError, match="search by darts, step 1 of 4: neither the relaxation"):
        Ran(stuck)


def test_published_defaults() -> None:
    """DARTS: Liu et al. 2019, appendix A.1.1. The others: arguments of the public search codes."""
    darts, proxyless = METHODS["darts"], METHODS["proxyless"]
    assert (darts.arch.lr, darts.arch.betas, darts.arch.weight_decay) == (3e-4, (0.5, 0.999), 1e-3)
    assert (darts.weights.lr, darts.weights.min_lr, darts.weights.weight_decay) == (0.025, 0.001, 3e-4)
    assert (darts.weights.momentum, darts.weights.nesterov, darts.weights.clip) == (0.9, False, 5.0)
    assert (proxyless.arch.lr, proxyless.arch.betas, proxyless.arch.weight_decay) == (1e-3, (0.0, 0.999), 0.0)
    assert (proxyless.weights.lr, proxyless.weights.nesterov, proxyless.label_smoothing) == (0.025, True, 0.1)
    assert (proxyless.stages[0].arch_every, proxyless.stages[0].warmup) == (5, 40 / 160)
    assert str(proxyless.objective_published) == "multiply_log(a=0.2, b=0.3)"
    for name in ("p-darts", "pc-darts", "drnas"):
        assert METHODS[name].arch.lr == 6e-4
    assert (METHODS["pc-darts"].weights.lr, METHODS["pc-darts"].published.batch_size) == (0.1, 256)
    assert (METHODS["p-darts"].published.batch_size, METHODS["p-darts"].weights.min_lr) == (96, 0.0)
    assert (METHODS["gdas"].weights.weight_decay, METHODS["gdas"].published.epochs) == (5e-4, 250)
    assert (METHODS["enas"].arch.lr, METHODS["enas-macro"].arch.lr) == (0.0035, 0.001)
    assert (METHODS["enas"].weights.cycles, METHODS["enas-macro"].weights.cycles) == (4, 5)
    assert (METHODS["p-darts"].arch.clip, METHODS["pc-darts"].arch.clip) == (5.0, 0.0)


@pytest.mark.parametrize("name", ["proxyless", "proxyless-full", "proxyless-rl"])
def test_binary_gates_begin_with_40_epochs_of_uniform_paths_where_the_weights_are_fresh(name: str) -> None:
    """imagenet_arch_search.py: 40 epochs of warm-up, then 120 of search."""
    row = METHODS[name]
    table = Timetable([stage.untrained for stage in row.stages], row.published.epochs, 1)
    assert [epoch for epoch in range(160) if not table.due(epoch)] == list(range(40))
    assert Timetable(row.stages, 160, 1).due(0)


@pytest.mark.parametrize(
    ("name", "passes"),
    [("darts", 2), ("darts-2", 5), ("darts-2-reuse", 4), ("darts-2-fast", 3), ("hyperdarts", 2), ("snas", 1)],
)
def test_cost_per_step_in_passes(name: str, passes: float) -> None:
    """Section 4.2 of the method notes; a pass is one forward and backward of the supernet."""
    assert METHODS[name].passes() == passes
    ran = Ran(METHODS[name])
    assert len(ran.learning[-1].calls) == passes


@pytest.mark.parametrize("name", list(METHODS))
def test_a_row_prints_as_json_and_names_its_paper(name: str) -> None:
    row = METHODS[name].describe()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert "arXiv" in row["paper"] or "NeurIPS" in row["paper"] or "github.com" in row["paper"]
    assert row["passes_per_step"] >= 1


def test_a_second_row_of_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="method 'darts' is registered already"):
        add_method(DARTS)


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'proxyles'; known: beta-darts, .*mean 'proxyless'"):
        METHODS["proxyles"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relax": relax("softmax", "sofmax")}, "unknown relaxation 'sofmax'; .*did you mean 'softmax'"),
        ({"policy": part("logit")}, "unknown policy 'logit'; .*did you mean 'logits'"),
        ({"hypergradient": part("unroled")}, "unknown hypergradient 'unroled'; .*mean 'unrolled'"),
        (
            {"hypergradient": part("unrolled", ar=0.1)},
            "method bad: hypergradient 'unrolled' has no option 'ar'; known: exact, one_sided, r, reuse",
        ),
        ({"decode": part("argmax", n=2)}, "decoder 'argmax' has no option 'n'; it takes none"),
        ({"stages": ()}, "needs at least one stage"),
        (
            {"stages": (Stage("s", edges=(("partail", part("constant", value=4)),)),)},
            "unknown edge wrapper 'partail'; .*did you mean 'partial'",
        ),
        ({"callbacks": (part("stop"),)}, "unknown callback 'stop'"),
        (
            {"decode": part("limit_skips", n=True)},
            "decoder 'limit_skips': n must be a whole number, got True",
        ),
        ({"policy": part("logits", edges="yes")}, "policy 'logits': edges must be true or false, got 'yes'"),
        (
            {"hypergradient": part("response"), "weight_rule": part("adversarial")},
            "'response' has a weight step of its own, so weight rule 'adversarial' cannot",
        ),
        (
            {"hypergradient": part("response"), "stages": (Stage("s", weight_rule=part("sandwich")),)},
            "'response' has a weight step of its own, so weight rule 'sandwich' cannot",
        ),
    ],
)
def test_a_row_with_an_unknown_part_is_refused_when_it_is_added(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        add_method(dataclasses.replace(DARTS, name="bad", **change))
    assert "bad" not in METHODS


def test_dal_covers_both_cells() -> None:
    """The published code sums the normal cell only."""
    ran = Ran(METHODS["dadarts-dal-on-alphas"])
    view = ran.learning[0].view
    assert isinstance(view, View)
    weights = [w.detach().clone().requires_grad_() for w in view.soft.weights]
    mix = dataclasses.replace(view.soft, weights=tuple(weights))
    REGULARISERS["dal"](dataclasses.replace(view, soft=mix)).backward()
    assert all(w.grad is not None and bool((w.grad != 0).any()) for w in weights)


def test_nodes_keep_what_they_keep() -> None:
    assert KEEP == 2


def test_the_documentation_lists_every_row_with_its_cost() -> None:
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    lines = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(lines) == set(METHODS)
    for name, line in lines.items():
        passes = float(line.split("|")[-2].removeprefix(" about"))
        assert passes == pytest.approx(METHODS[name].passes(), abs=0.05)
