"""The table of methods: its published numbers, and a signature per row that plain DARTS lacks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from hwnas.budget import Budget
from hwnas.gradient.methods import DARTS, METHODS, Method, PlaceNames, add_method
from hwnas.gradient.policy import Logits
from hwnas.gradient.search import GradientSearch, SearchSettings
from hwnas.testing.toy import ToyBatches, ToySupernet, toy_costs, toy_space
from targets.errors import UsageError


class Ran:
    """What one arch step and one weight step of a row did, watched from outside."""

    def __init__(self, method: Method) -> None:
        space, net = toy_space(), ToySupernet()
        settings = SearchSettings(steps=2, epoch_steps=2, seed=3, arch_every=1)
        search = GradientSearch(
            space, net, toy_costs(space), [], method, ToyBatches(1), ToyBatches(2), settings
        )
        policy = search.policy
        assert isinstance(policy, Logits)
        with torch.no_grad():
            for a in policy.logits:
                a.copy_(torch.tensor([0.5, -0.5, 0.2]))
        self.before = [a.detach().softmax(0) for a in policy.logits]
        scene, _ = search._scene(0)
        arch = search.hypergradient.arch_step(scene)
        inner = search.supernet
        assert isinstance(inner, ToySupernet)
        self.arch_ran, self.mix = inner.ran, arch.found.mix
        search._apply(arch)
        self.after = [a.detach().softmax(0) for a in policy.logits]
        search.hypergradient.weight_step(scene)
        self.weight_ran = inner.ran
        drawn = [policy.draw(search._relax.validation, scene.moment) for _ in range(5)]
        self.validation_active = {mix.active for mix in drawn}


def darts_signature(ran: Ran) -> None:
    """Every option runs with gradient, in both steps, and all logits move."""
    for step in (ran.arch_ran, ran.weight_ran):
        assert all(layer == [(0, True), (1, True), (2, True)] for layer in step)
    for old, new in zip(ran.before, ran.after, strict=True):
        assert (old != new).all()


def _one_path(ran: Ran) -> None:
    """Weights are trained on one path, alone; validation runs the most probable one."""
    assert all(len(layer) == 1 and layer[0][1] for layer in ran.weight_ran)
    assert ran.validation_active == {tuple((int(p.argmax()),) for p in ran.after)}


def proxyless_signature(ran: Ran) -> None:
    """One option runs, one is probed; the third keeps its probability."""
    _one_path(ran)
    for layer, old, new in zip(ran.arch_ran, ran.before, ran.after, strict=True):
        assert sorted(trained for _, trained in layer) == [False, True]
        third = ({0, 1, 2} - {k for k, _ in layer}).pop()
        assert new[third].item() == pytest.approx(old[third].item(), abs=1e-6)
        assert new[layer[0][0]].item() != pytest.approx(old[layer[0][0]].item(), abs=1e-6)


def proxyless_full_signature(ran: Ran) -> None:
    """One option runs, all others are probed."""
    _one_path(ran)
    for layer in ran.arch_ran:
        assert sorted(k for k, _ in layer) == [0, 1, 2]
        assert sum(trained for _, trained in layer) == 1


SIGNATURES: dict[str, Callable[[Ran], None]] = {
    "darts": darts_signature,
    "proxyless": proxyless_signature,
    "proxyless-full": proxyless_full_signature,
}

PARTS = ("policy", "relax", "hypergradient")
"""Fields that make an algorithm; the others are constants and text."""


@pytest.mark.parametrize("name", list(METHODS))
def test_each_row_runs_its_published_algorithm(name: str) -> None:
    SIGNATURES[name](Ran(METHODS[name]))


def swaps() -> list[Any]:
    """Each row with one distinguishing part swapped for plain DARTS's; places of a mix one by one."""
    out: list[Any] = []
    for name in METHODS:
        row = METHODS[name]
        for field in PARTS:
            own, plain = getattr(row, field), getattr(DARTS, field)
            if own == plain:
                continue
            changes: list[tuple[str, Any]] = [(field, plain)]
            if field == "relax":
                changes = [
                    (f"relax.{place}", dataclasses.replace(own, **{place: getattr(plain, place)}))
                    for place in ("weight", "arch", "validation")
                    if getattr(own, place) != getattr(plain, place)
                ]
            for what, value in changes:
                swapped = dataclasses.replace(row, **{field: value})
                out.append(pytest.param(name, swapped, id=f"{name}-{what}"))
    return out


@pytest.mark.parametrize(("name", "swapped"), swaps())
def test_a_row_with_a_part_of_plain_darts_loses_its_signature(name: str, swapped: Method) -> None:
    with pytest.raises(AssertionError):
        SIGNATURES[name](Ran(swapped))


def test_plain_darts_loses_its_signature_with_gates() -> None:
    for place in ("weight", "arch"):
        gated = dataclasses.replace(DARTS, relax=dataclasses.replace(DARTS.relax, **{place: "sampled"}))
        with pytest.raises((AssertionError, UsageError)):
            darts_signature(Ran(gated))


def test_a_row_whose_policy_cannot_learn_says_so() -> None:
    stuck = dataclasses.replace(DARTS, relax=dataclasses.replace(DARTS.relax, arch="sampled"))
    with pytest.raises(UsageError, match="search by darts, step 1 of 2: neither the relaxation"):
        Ran(stuck)


def test_published_defaults() -> None:
    """DARTS: Liu et al. 2019, appendix A.1.1. ProxylessNAS: arguments of its public search code."""
    darts, proxyless = METHODS["darts"], METHODS["proxyless"]
    assert (darts.arch.lr, darts.arch.betas, darts.arch.weight_decay) == (3e-4, (0.5, 0.999), 1e-3)
    assert (darts.weights.lr, darts.weights.min_lr, darts.weights.weight_decay) == (0.025, 0.001, 3e-4)
    assert (darts.weights.momentum, darts.weights.nesterov, darts.weights.clip) == (0.9, False, 5.0)
    assert (proxyless.arch.lr, proxyless.arch.betas, proxyless.arch.weight_decay) == (1e-3, (0.0, 0.999), 0.0)
    assert (proxyless.weights.lr, proxyless.weights.nesterov, proxyless.label_smoothing) == (0.025, True, 0.1)
    assert proxyless.stages[0].arch_every == 5
    assert str(proxyless.objective_published) == "multiply_log(a=0.2, b=0.3)"


@pytest.mark.parametrize("name", list(METHODS))
def test_a_row_prints_as_json_and_names_its_paper(name: str) -> None:
    row = METHODS[name].describe()
    assert json.loads(json.dumps(row, allow_nan=False)) == row | {"arch": row["arch"]}
    assert "arXiv" in row["paper"]


def test_a_second_row_of_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="method 'darts' is registered already"):
        add_method(DARTS)


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'proxyles'; known: darts, .*mean 'proxyless'"):
        METHODS["proxyles"]


def test_a_row_with_an_unknown_part_is_refused_when_it_is_added() -> None:
    bad = dataclasses.replace(DARTS, name="bad", relax=PlaceNames(weight="softmax", arch="sofmax"))
    with pytest.raises(UsageError, match="unknown relaxation 'sofmax'"):
        add_method(bad)
    assert "bad" not in METHODS


def test_budgets_enter_every_row() -> None:
    space = toy_space()
    for name in METHODS:
        settings = SearchSettings(steps=1, epoch_steps=1, seed=0, arch_every=1)
        search = GradientSearch(
            space,
            ToySupernet(),
            toy_costs(space),
            [Budget("latency_ms", 4.0)],
            METHODS[name],
            ToyBatches(1),
            ToyBatches(2),
            settings,
        )
        search.run()
        assert search.objective.term.state["latency_ms"] > 0
