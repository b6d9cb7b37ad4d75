"""The options of `hwnas search`, checked once at the door: TOML or the command line in, JSON out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.core.budget import Budget
from targets.errors import UsageError, did_you_mean
from targets.toml_file import read_toml

from .checks import faults_of, listed
from .definition import definitions
from .options import BudgetOptions, HomeOptions, SpeedOptions
from .recipe_options import RecipeOptions
from .search_options import (
    FinalTrainingOptions,
    LabelledImageOptions,
    LimitOptions,
    PartsOptions,
    RecordOptions,
    SpaceOptions,
    StepOptions,
    TargetOptions,
)


@dataclass(frozen=True, kw_only=True)
class SearchConfig(
    LabelledImageOptions,
    PartsOptions,
    BudgetOptions,
    TargetOptions,
    SpaceOptions,
    StepOptions,
    FinalTrainingOptions,
    RecipeOptions,
    SpeedOptions,
    LimitOptions,
    RecordOptions,
    HomeOptions,
):
    """Every option of `hwnas search`."""

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON values; `from_json` is the inverse."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str | Mapping[str, str]) -> SearchConfig:
        """The config of `values`, all faults listed.

        where: what `values` are, or how each key is called: an option, or a key of a file.
        """
        return _validate(values, where)


FIELDS = tuple(field.name for field in dataclasses.fields(SearchConfig))
SHORTHANDS = ("budget_ms", "target")


def load_config(
    file: Path | None, options: Mapping[str, Any], *, spell: Callable[[str], str] | None = None
) -> tuple[SearchConfig, dict[str, Any]]:
    """The config of a TOML file overridden by options, and the values that were given (no defaults).

    options: field name -> value; None means not given. `budget_ms` stands for the budget on latency_ms, and
        `target` for the only one of `targets`.
    spell: how an option is called in messages; None: as on the command line.
    """
    given: dict[str, Any] = read_toml(file, "configuration") if file else {}
    where = {key: f"{file}: {key}" for key in given}
    for key, value in options.items():
        if value is not None:
            given[key], where[key] = value, (spell or option_name)(key)
    _expand_budget_ms(given, where)
    _expand_target(given, where)
    return _validate(given, where, names=True), given


def option_name(key: str) -> str:
    """The command-line option of a field: those that are repeated are singular there."""
    known = definitions(SearchConfig).get(key)
    return known.flag if known else f"--{key.replace('_', '-')}"


def _expand_budget_ms(given: dict[str, Any], where: dict[str, str]) -> None:
    """Replaces the shorthand by the budget it stands for, in front of the others."""
    if "budget_ms" not in given:
        return
    limit, name = given.pop("budget_ms"), where.pop("budget_ms")
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise UsageError(f"{name} is {limit!r}; allowed: a number of milliseconds")
    others = given.get("budgets", ())
    if not isinstance(others, (list, tuple)):
        raise UsageError(f"{where['budgets']} is {others!r}; allowed: a list like ['size_mb<=4']")
    given["budgets"] = [f"latency_ms<={limit!r}", *others]
    where["budgets"] = name


def _expand_target(given: dict[str, Any], where: dict[str, str]) -> None:
    """Replaces one target by the list of it."""
    if "target" not in given:
        return
    target, name = given.pop("target"), where.pop("target")
    if "targets" in given:
        raise UsageError(f"{name}: targets are given too; give one of the two")
    given["targets"] = list(target) if isinstance(target, (list, tuple)) else [target]
    where["targets"] = name


def _validate(
    values: Mapping[str, Any], where: str | Mapping[str, str], *, names: bool = False
) -> SearchConfig:
    """names: whether what is chosen by name must be there, as where options are given."""

    def name(key: str) -> str:
        return f"{where}: {key}" if isinstance(where, str) else where.get(key, key)

    unknown = [
        f"{name(key)}: unknown key; {did_you_mean(key, (*FIELDS, *SHORTHANDS))}"
        for key in values
        if key not in FIELDS
    ]
    known = {key: value for key, value in values.items() if key in FIELDS}
    if faults := [*unknown, *faults_of(SearchConfig, known, name, names=names)]:
        raise listed(faults)
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
    config = SearchConfig(**fields)
    return _with_one_spelling(config, name("budgets"))


def _with_one_spelling(config: SearchConfig, where: str) -> SearchConfig:
    """The config with its budgets as `Budget` writes them, for a resume takes 12.0 for 12."""
    if faults := _budget_faults(config.budgets):
        raise listed([f"{where}: {fault}" for fault in faults])
    return dataclasses.replace(config, budgets=tuple(str(Budget.parse(b)) for b in config.budgets))


def _budget_faults(texts: tuple[str, ...]) -> list[str]:
    faults: list[str] = []
    metrics: list[str] = []
    for text in texts:
        try:
            metrics.append(Budget.parse(text).metric)
        except UsageError as error:
            faults.append(str(error))
    twice = sorted({metric for metric in metrics if metrics.count(metric) > 1})
    return faults + [f"more than one budget on {metric}; keep the tighter one" for metric in twice]
