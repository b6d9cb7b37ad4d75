"""The table of methods: published defaults, what a row costs and prints, and rows that are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hwnas.core.registry import part
from hwnas.gradient.method import relax
from hwnas.gradient.methods import DARTS, METHODS, add_method
from hwnas.gradient.stage import Stage
from hwnas.gradient.timetable import Timetable
from targets.errors import UsageError
from tests.support.watched import Ran


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


@pytest.mark.slow
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


def test_the_digest_of_a_row_stays_what_stored_searches_hold() -> None:
    """Finished searches and checkpoints are found by a digest of repr(row)."""
    (term,) = METHODS["beta-darts"].regularisers
    options = "Part(name='beta_decay', options=())"
    assert repr(term) == f"Term(regulariser={options}, weight=(0.0, 50.0), after=0.0)"


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
        (
            {"hypergradient": part("single_level"), "weight_rule": part("sandwich")},
            "'single_level' has a weight step of its own, so weight rule 'sandwich' cannot",
        ),
        (
            {"hypergradient": part("unrolled", reuse=True), "weight_rule": part("adversarial")},
            r"'unrolled\(reuse=True\)' has a weight step of its own, so weight rule 'adversarial' cannot",
        ),
    ],
)
def test_a_row_with_an_unknown_part_is_refused_when_it_is_added(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        add_method(dataclasses.replace(DARTS, name="bad", **change))
    assert "bad" not in METHODS


def test_the_documentation_lists_every_row_with_its_cost() -> None:
    text = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")
    lines = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(lines) == set(METHODS)
    for name, line in lines.items():
        passes = float(line.split("|")[-2].removeprefix(" about"))
        assert passes == pytest.approx(METHODS[name].passes(), abs=0.05)
