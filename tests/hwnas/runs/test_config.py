"""The options of a search: every fault reported, TOML and JSON round trips, shorthands."""

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.pipeline.searcher_options import SearcherOptions
from hwnas.pipeline.training_options import TrainingOptions
from hwnas.runs.config import SearchConfig, load_config
from hwnas.runs.definition import definitions, free_on_resume
from hwnas.runs.toml_text import dump_toml
from targets.errors import UsageError


def fault(**options: object) -> str:
    with pytest.raises(UsageError) as caught:
        load_config(None, options)
    return str(caught.value)


def test_defaults_are_valid() -> None:
    config, given_values = load_config(None, {})
    assert config == SearchConfig()
    assert given_values == {}
    assert SearchConfig.from_json(SearchConfig().to_json(), "here") == SearchConfig()


def test_all_faults_are_listed_with_option_and_value() -> None:
    text = fault(picks=0, data=True, image_size=15, seed=1.5, device="gpu", minutes=-1.0, bugdets=[])
    assert text.startswith("7 faults:")
    for part in (
        "--picks",
        "--data",
        "--image-size is 15; allowed: 16 to 224",
        "--seed is 1.5; allowed: whole numbers 0 to 4,294,967,295",
        "--device is 'gpu'; allowed: auto, cpu, cuda or cuda:0 to cuda:15",
        "--minutes",
        "'budgets'?",
    ):
        assert part in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0, True, "1"])
@pytest.mark.parametrize("key", ["width_mult", "profile_minutes", "minutes"])
def test_numbers_must_be_finite_and_in_range(key: str, value: object) -> None:
    assert fault(**{key: value}).startswith(f"--{key.replace('_', '-')} is {value!r}; allowed: ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"evaluations": 0}, "--evaluations is 0; allowed: 1 to 10,000,000"),
        ({"minutes": 0.0}, "--minutes is 0.0; allowed: above 0 to 100,000"),
        ({"picks": "3"}, "--picks is '3'; allowed: whole numbers 1 to 50"),
        ({"download": "yes"}, "--download is 'yes'; allowed: true or false"),
        (
            {"evaluator": "long"},
            "--evaluator: unknown evaluator 'long'; known: shared-weights, short-training",
        ),
        ({"data": ""}, "--data is ''; allowed: 1 to 4,096 characters"),
        ({"data": "\udc80"}, r"--data is '\udc80'; allowed: 1 to 4,096 characters"),
        ({"home": ""}, "--home is ''; allowed: 1 to 4,096 characters"),
        ({"targets": []}, "--target is []; allowed: a list of 1 to 8, each 1 to 4,096 characters"),
    ],
)
def test_one_fault_is_one_line_that_says_what_is_allowed(options: dict[str, object], line: str) -> None:
    assert fault(**options) == line


@pytest.mark.parametrize(
    "budget",
    [
        "latency_ms<=0",
        "latency_ms<=-1",
        "latency_ms<=nan",
        "latency_ms<=inf",
        "latency<=3",
        "latency_ms",
        "",
        "x" * 5000,
    ],
)
def test_bad_budgets_name_the_option(budget: str) -> None:
    assert fault(budgets=[budget]).startswith(("--budget: ", "--budget is "))


@pytest.mark.parametrize("value", [float("nan"), 0, -2.5, True, "12"])
def test_bad_budget_ms(value: object) -> None:
    assert "budget" in fault(budget_ms=value)


def test_budget_ms_is_short_for_the_first_budget() -> None:
    config, _ = load_config(None, {"budget_ms": 12, "budgets": ["size_mb<=4"]})
    assert config.budgets == ("latency_ms<=12", "size_mb<=4")


@pytest.mark.parametrize("text", ["latency_ms<=12", "latency_ms <= 12.0", " latency_ms<=1.2e1"])
def test_budgets_have_one_spelling(text: str) -> None:
    assert load_config(None, {"budgets": [text]})[0].budgets == ("latency_ms<=12",)
    assert load_config(None, {"budget_ms": 12.0})[0].budgets == ("latency_ms<=12",)


def test_two_budgets_on_one_metric() -> None:
    assert "more than one budget on latency_ms" in fault(budget_ms=12, budgets=["latency_ms<=11"])


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("﻿seed = 3\r\npicks = 2\r\nbudget_ms = 4\r\n", encoding="utf-8")
    config, given_values = load_config(file, {"seed": 4, "picks": None})
    assert (config.seed, config.picks, config.budgets) == (4, 2, ("latency_ms<=4",))
    assert given_values == {"seed": 4, "picks": 2, "budgets": ["latency_ms<=4"]}


def test_faults_in_a_file_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("pick = 2\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.toml: pick: unknown key; .*did you mean 'picks'"):
        load_config(file, {})


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"seed = 1\nseed = 2\n", b"seed = ", b"a = " + b"[" * 5000, b"x" * 2_000_000, b"\x00"],
    ids=["binary", "duplicate", "torn", "nested", "huge", "nul"],
)
def test_files_that_are_no_toml(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.toml"):
        load_config(file, {})


@pytest.mark.parametrize("line", ["seed = nan", "data = 1979-05-27", "[data]\na = 1", "budgets = [[1]]"])
def test_toml_values_that_are_no_option(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.toml: (seed|data|budgets) is "):
        load_config(file, {})


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml does not exist"):
        load_config(tmp_path / "none.toml", {})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.one_of(
    TEXT,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(TEXT, max_size=4),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUE, max_size=5))
def test_toml_round_trip(values: dict[str, object]) -> None:
    assert tomllib.loads(dump_toml(values)) == values


def test_json_is_strict_and_holds_every_field() -> None:
    values = json.loads(json.dumps(SearchConfig().to_json(), allow_nan=False))
    assert list(values) == [field.name for field in dataclasses.fields(SearchConfig)]


def test_limits_and_places_only_may_change_on_resume() -> None:
    free = {"minutes", "workers", "home", "download", "alpha_history", "trackers", "profile_minutes"} | {
        "accept_noise", "cluster", "storage", "no_graphs",
    }  # fmt: skip
    assert free_on_resume(SearchConfig) == free
    assert free_on_resume(SearcherOptions) == (free - {"minutes", "workers", "cluster", "storage"}) | {
        "out", "path", "quiet",
    }  # fmt: skip


@pytest.mark.parametrize("kind_of_run", [SearchConfig, SearcherOptions, TrainingOptions])
def test_every_field_is_defined_with_a_help(kind_of_run: type) -> None:
    names = {field.name for field in dataclasses.fields(kind_of_run)}
    known = definitions(kind_of_run)
    assert known.keys() == names
    assert all(d.option.help and not d.option.help.endswith(".") for d in known.values())
