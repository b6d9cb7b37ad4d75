"""The form of int8 networks: what suits a CPU, what a target file may say, what a context tells."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from targets import Int8Form, Target, default_form, known_targets, load_target, make_context
from targets.context import cpu_facts
from targets.errors import UsageError
from targets.int8_form import INT8_SYMMETRIC, UINT8, UINT8_REDUCED, form_warning

X86 = {"machine": "x86_64", "cpu_flags": "avx avx2 fma sse2"}
VNNI = {"machine": "x86_64", "cpu_flags": "avx2 avx512_vnni avx512f sse2"}
ARM = {"machine": "aarch64", "cpu_flags": "asimd asimddp fp"}
TABLE = {"activations": "uint8", "symmetric": False, "reduced_range": True, "per_channel": True}


@pytest.mark.parametrize(
    ("facts", "form"),
    [
        (VNNI, UINT8),
        ({**X86, "cpu_flags": "avx2 avx_vnni"}, UINT8),
        (X86, UINT8_REDUCED),
        ({"machine": "AMD64", "system": "Windows"}, UINT8_REDUCED),  # no /proc/cpuinfo
        (ARM, INT8_SYMMETRIC),
        ({"machine": "aarch64", "cpu_flags": "asimd fp"}, INT8_SYMMETRIC),  # Cortex-A72
        ({"machine": "arm64", "system": "Darwin"}, INT8_SYMMETRIC),
        ({"machine": "arm64-v8a", "system": "Android"}, INT8_SYMMETRIC),
        (cpu_facts("processor\t: 0\nFeatures\t: fp asimd asimddp\n"), INT8_SYMMETRIC),
        ({"machine": "armv7l", "cpu_flags": "neon"}, UINT8_REDUCED),
        ({"machine": "riscv64"}, UINT8_REDUCED),
        ({}, UINT8_REDUCED),
        # a flag must be a whole word
        ({**X86, "cpu_flags": "avx512_vnni_like"}, UINT8_REDUCED),
    ],
)
def test_the_default_follows_the_cpu(facts: dict[str, Any], form: Int8Form) -> None:
    assert default_form(facts) == form


@pytest.mark.parametrize("provider", ["xnnpack", "tensorrt"])
def test_a_provider_that_knows_one_form_gets_it_on_every_cpu(provider: str) -> None:
    assert {default_form(facts, provider) for facts in (X86, VNNI, ARM, {})} == {INT8_SYMMETRIC}


@pytest.mark.parametrize(
    ("form", "facts", "warning"),
    [
        (UINT8, X86, "reduced_range = true"),
        (UINT8, VNNI, ""),
        (UINT8, ARM, ""),
        (UINT8, {}, ""),
        (UINT8_REDUCED, X86, ""),
        (INT8_SYMMETRIC, X86, "reduced_range = true"),
        (INT8_SYMMETRIC, VNNI, ""),
        (INT8_SYMMETRIC, ARM, ""),
        (replace(INT8_SYMMETRIC, symmetric=False), VNNI, "computes this form in float"),
        (replace(INT8_SYMMETRIC, symmetric=False), ARM, ""),
    ],
)
def test_a_form_that_does_not_suit_the_cpu_is_warned_of(
    form: Int8Form, facts: dict[str, Any], warning: str
) -> None:
    said = form_warning(form, facts)
    assert warning in said and bool(said) == bool(warning)


def toml(folder: Path, table: str, precision: str = "int8", provider: str = "cpu") -> Path:
    path = folder / "board.toml"
    path.write_text(
        f'name = "board"\nprovider = "{provider}"\nthreads = 1\ngraph_level = "all"\n'
        f'precision = "{precision}"\nspinning = false\n{table}'
    )
    return path


WHOLE = '[quantisation]\nactivations = "int8"\nsymmetric = true\nreduced_range = false\nper_channel = false\n'


def test_a_target_file_sets_the_form_on_every_cpu(tmp_path: Path) -> None:
    target = load_target(toml(tmp_path, WHOLE))
    form = Int8Form(activations="int8", symmetric=True, reduced_range=False, per_channel=False)
    assert target.quantisation == form
    assert all(target.int8_form(facts) == form for facts in (X86, VNNI, ARM, {}))
    assert Target.from_json(target.to_json()) == target
    assert target.without_address().quantisation == form


def test_the_example_of_the_documents_is_a_form() -> None:
    text = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
    table = text.split("[quantisation]\n", 1)[1].split("```", 1)[0]
    import tomllib

    assert Int8Form.from_json(tomllib.loads(table)) == UINT8_REDUCED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "int8"}, "unknown key 'activation'; known: .*did you mean 'activations'"),
        ({"activations": "int4"}, "unknown activations 'int4'; known: int8, uint8"),
        ({"activations": 8}, "activations must be a text"),
        ({"symmetric": 1}, "symmetric must be true or false, got 1"),
        ({"reduced_range": "yes"}, "reduced_range must be true or false, got 'yes'"),
    ],
)
def test_wrong_values_name_the_table_the_key_and_what_is_allowed(
    change: dict[str, Any], message: str
) -> None:
    values = {**load_target("host-int8").to_json(), "quantisation": {**TABLE, **change}}
    with pytest.raises(UsageError, match=rf"my\.toml: \[quantisation\]: {message}"):
        Target.from_json(values, "my.toml")


def test_a_table_that_is_not_whole_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"board\.toml: .*missing symmetric, per_channel; the table needs all"
    ):
        load_target(toml(tmp_path, '[quantisation]\nactivations = "uint8"\nreduced_range = true\n'))
    with pytest.raises(UsageError, match="quantisation must be a table of fields, got str"):
        load_target(toml(tmp_path, 'quantisation = "int8"\n'))


@pytest.mark.parametrize(
    ("provider", "form", "message"),
    [
        ("tensorrt", UINT8, "set activations = 'int8' and symmetric = true"),
        ("tensorrt", replace(INT8_SYMMETRIC, symmetric=False), "and symmetric = true"),
        (
            "xnnpack",
            UINT8_REDUCED,
            "provider 'xnnpack' cannot run activations uint8.*set activations = 'int8'",
        ),
    ],
)
def test_what_the_provider_cannot_run_is_refused(provider: str, form: Int8Form, message: str) -> None:
    host = load_target("host-int8")
    with pytest.raises(UsageError, match=message):
        replace(host, provider=provider, quantisation=form)
    assert replace(host, provider=provider, quantisation=INT8_SYMMETRIC).quantisation == INT8_SYMMETRIC


def test_a_float_target_has_no_form(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"precision 'fp32' has no use for \[quantisation\]"):
        load_target(toml(tmp_path, WHOLE, precision="fp32"))


@pytest.mark.parametrize("name", known_targets())
def test_known_targets_leave_the_form_to_the_cpu(name: str) -> None:
    target = load_target(name)
    assert target.quantisation is None and "quantisation" not in target.to_json()


@pytest.mark.parametrize("name", ["host", "host-int8"])
def test_contexts_of_before_keep_their_hash_where_the_form_is_the_old_one(name: str) -> None:
    target = load_target(name)
    facts = VNNI if name == "host-int8" else X86
    old = {**facts, "exporter": "x", **{f"target_{k}": v for k, v in target.options.items()}}
    assert dict(make_context(target, facts, "x").facts) == old
    assert set(target.options) == {"provider", "threads", "graph_level", "precision", "spinning"}


def test_another_form_is_another_context_and_the_message_names_it() -> None:
    target = load_target("host-int8")
    old = make_context(replace(target, quantisation=UINT8), X86, "x")
    new = make_context(target, X86, "x")
    assert new.hash != old.hash
    assert new.explain(old) == "target_int8_reduced_range: True here, None there"
    explicit = make_context(replace(target, quantisation=UINT8_REDUCED), X86, "x")
    assert explicit.hash == new.hash  # who chose the form is no fact
    float_target = load_target("host")
    assert not any("int8" in fact for fact in make_context(float_target, X86, "x").facts)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("bits", range(8))
def test_a_context_tells_its_form(activations: str, bits: int) -> None:
    symmetric, reduced, per_channel = (bool(bits >> i & 1) for i in range(3))
    form = Int8Form(
        activations=activations, symmetric=symmetric, reduced_range=reduced, per_channel=per_channel
    )
    target = replace(load_target("host-int8"), quantisation=form)
    assert Int8Form.from_facts(make_context(target, ARM, "x").facts) == form
    assert Int8Form.from_json(asdict(form)) == form
