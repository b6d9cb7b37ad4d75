"""A user's own method from TOML: what it may say, and one clear error for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.core.registry import part
from hwnas.gradient.method_file import find_method, load_method
from hwnas.gradient.methods import METHODS
from targets.errors import UsageError

MINE = """
name = "mine"
base = "pc-darts"
paper = "ours, arXiv 0000.00000"
hypergradient = { name = "unrolled", r = 0.3, reuse = true }
relax = { arch = { name = "topk", t_max = 100.0 } }
regularisers = [{ name = "beta_decay", weight = [0.0, 50.0] }, { name = "dal", after = 0.5 }]
callbacks = ["freeze_operations"]
decode = { name = "limit_skips", n = 3 }

[[stages]]
name = "warm"
arch_every = 0

[[stages]]
name = "search"
frozen = 0.25
temperature = [5.0, 0.5]
edges = { partial = { name = "constant", value = 2 }, aux_skip = { name = "linear", start = 1.0, end = 0.0 } }

[weights]
lr = 0.05
nesterov = true

[arch]
lr = 0.01
betas = [0.9, 0.99]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_changes_what_it_names_and_keeps_the_rest_of_its_base(tmp_path: Path) -> None:
    row = load_method(write(tmp_path, MINE))
    base = METHODS["pc-darts"]
    assert (row.name, row.policy) == ("mine", base.policy)
    assert row.hypergradient == part("unrolled", r=0.3, reuse=True)
    assert row.relax.parts["weight"] == part("softmax")
    assert row.relax.parts["arch"] == part("topk", t_max=100.0)
    assert [s.arch_every for s in row.stages] == [None, 1]
    assert [str(w) for w in row.stages[1].wrappers(0.5)] == ["Partial(k=2)", "AuxSkip(weight=0.5)"]
    assert (row.regularisers[0].weight, row.regularisers[1].after) == ((0.0, 50.0), 0.5)
    assert (row.weights.lr, row.weights.nesterov, row.weights.weight_decay) == (0.05, True, 3e-4)
    assert (row.arch.lr, row.arch.betas) == (0.01, (0.9, 0.99))
    assert row.passes() == 4
    assert "mine" not in METHODS


def test_a_place_that_follows_the_arch_step_follows_that_of_the_file(tmp_path: Path) -> None:
    row = load_method(write(tmp_path, 'name = "m"\nrelax = { arch = "sigmoid" }'))
    assert METHODS["darts"].relax.virtual is METHODS["darts"].relax.validation is None
    assert row.relax.parts == {
        "weight": part("softmax"),
        **dict.fromkeys(("virtual", "arch", "validation"), part("sigmoid")),
    }


def test_a_whole_number_is_a_number_and_clip_0_is_no_bound(tmp_path: Path) -> None:
    text = 'name = "m"\nbase = "%s"\n[weights]\nlr = 1\nclip = %s\n[arch]\nclip = 0\nbetas = [0, 0]'
    row = load_method(write(tmp_path, text % ("darts", "0")))
    assert (row.weights.lr, row.weights.clip, row.arch.clip, row.arch.betas) == (1.0, None, 0.0, (0.0, 0.0))
    # a field that its base leaves at None has a type all the same
    assert METHODS["proxyless"].weights.clip is None
    assert load_method(write(tmp_path, text % ("proxyless", "3"))).weights.clip == 3.0


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")
    row = load_method(write(tmp_path, text.split("```toml file=mine.toml\n")[1].split("```")[0]))
    assert (row.name, row.arch.lr, row.stages[0].frozen) == ("mine", 6e-4, 0.3)


def test_a_method_is_found_by_name_or_by_file(tmp_path: Path) -> None:
    assert find_method("darts") is METHODS["darts"]
    assert find_method(str(write(tmp_path, MINE))).name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name =", "is no TOML"),
        ('name = "darts"', "give the method a name of its own, got 'darts'"),
        ('base = "darts"', "give the method a name of its own"),
        ('name = "m"\nbase = "dart"', r"unknown method 'dart'; .*did you mean 'darts'"),
        ('name = "m"\nrelaxx = "softmax"', "unknown key 'relaxx'; .*did you mean 'relax'"),
        ('name = "m"\nrelax = { wieght = "softmax" }', "unknown key 'wieght'; .*did you mean 'weight'"),
        ('name = "m"\nrelax = { arch = "sofmax" }', "unknown relaxation 'sofmax'; .*did you mean 'softmax'"),
        ('name = "m"\nhypergradient = { name = "unrolled", ar = 1 }', "has no option 'ar'"),
        ('name = "m"\nhypergradient = 3', "hypergradient must be a table, got 3"),
        ('name = "m"\nstages = "x"', "stages must be a list"),
        ('name = "m"\n[[stages]]\nfrozen = 1.5', "stage search: .*frozen and warmup in .0, 1."),
        ('name = "m"\n[[stages]]\nstart = "frsh"', "unknown start 'frsh'; .*did you mean 'fresh'"),
        ('name = "m"\n[[stages]]\ntemperature = [1.0]', "temperature must be two numbers"),
        ('name = "m"\n[[stages]]\ntemperature = [1.0, 0]', "temperature must be above 0"),
        ('name = "m"\n[[stages]]\ncells = 0', "cells must be 1 to 1000, got 0"),
        ('name = "m"\nlabel_smoothing = 2', r"label_smoothing must be in \[0, 1\), got 2"),
        ('name = "m"\n[weights]\nlr = "fast"', "weights.lr must be a finite number, got 'fast'"),
        ('name = "m"\n[weights]\nlr = -1.0', "learning rate must be finite and above 0"),
        ('name = "m"\n[arch]\nrate = 1.0', "unknown key 'rate'"),
        ('name = "m"\n[arch]\nlr = nan', "arch.lr must be a finite number"),
        ('name = "m"\n[arch]\nlr = true', "arch.lr must be a finite number, got True"),
        ('name = "m"\n[weights]\nlr = [0.1, 0.2]', r"weights.lr must be a finite number, got \[0.1, 0.2\]"),
        ('name = "m"\n[weights]\nnesterov = 1', "weights.nesterov must be true or false, got 1"),
        ('name = "m"\n[weights]\ncycles = 2.0', "weights.cycles must be a whole number, got 2.0"),
        ('name = "m"\n[weights]\nclip = "5"', "weights.clip must be a finite number, got '5'"),
        ('name = "m"\n[weights]\nclip = -1', "clip must be finite and above 0, or None"),
        ('name = "m"\n[arch]\nbetas = 0.9', "arch.betas must be two numbers, got 0.9"),
        ('name = "m"\n[arch]\nbetas = [0.9, 1.0]', r"betas must be in \[0, 1\), got 1.0"),
        (
            'name = "m"\ndecode = { name = "limit_skips", n = "two" }',
            "'limit_skips': n must be a whole number",
        ),
        (
            'name = "m"\nhypergradient = { name = "unrolled", r = true }',
            "'unrolled': r must be a finite number",
        ),
        (
            'name = "m"\n[[stages]]\nedges = { partial = { name = "constant", valu = 4 } }',
            "schedule 'constant' has no option 'valu'; .*did you mean 'value'",
        ),
        ('name = "m"\n[[stages]]\nedges = { partial = "constant" }', "'constant' needs a value for value"),
    ],
)
def test_what_is_wrong_is_said_once(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_method(write(tmp_path, text))


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"method file .*does not exist"):
        find_method(str(tmp_path / "none.toml"))


def test_stages_shrink_and_have_weight_rules_and_rates_of_their_own(tmp_path: Path) -> None:
    text = """
    name = "mine"
    base = "elastic"
    [[stages]]
    name = "largest"
    elastic = {}
    arch_every = 0
    [[stages]]
    name = "small"
    start = "widened"
    lr = 0.1
    elastic = { kernel = 2, depth = 1 }
    weight_rule = { name = "distilled", n = 4 }
    """
    first, second = load_method(write(tmp_path, text)).stages
    assert (first.elastic, first.weight_rule, first.lr) == ((), None, 1.0)
    assert dict(second.elastic or ()) == {"kernel": 2, "depth": 1}
    assert (second.weight_rule, second.lr) == (part("distilled", n=4), 0.1)
    for old, new, message in (
        ("kernel = 2", "kernel = 'all'", "stage 2: elastic.kernel must be a whole number, got 'all'"),
        ("kernel = 2", "kernel = -1", "stage small: lr must be above 0 and the steps of elastic at least 0"),
        ('"distilled"', '"distiled"', "unknown weight rule 'distiled'; .*did you mean 'distilled'"),
        ('start = "widened"', "", "stage small goes on with the optimiser of the one before"),
        ('"widened"', "3", "stage 2: start must be text, got 3"),
        ('"widened"', '"wide"', "stage small: unknown start 'wide'; .*did you mean 'widened'"),
    ):
        with pytest.raises(UsageError, match=message):
            load_method(write(tmp_path, text.replace(old, new)))
