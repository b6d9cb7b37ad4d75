"""The options of `hwnas search`, checked once at the door: TOML or the command line in, JSON out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.core.budget import Budget
from targets.errors import UsageError, did_you_mean
from targets.toml_file import read_toml

from .definition import definitions
from .options import (
    BudgetOptions,
    FinalTrainingOptions,
    HomeOptions,
    LabelledImageOptions,
    LimitOptions,
    SpaceOptions,
    SpeedOptions,
    StepOptions,
    TargetOptions,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails


@dataclass(frozen=True, kw_only=True)
class SearchConfig(
    LabelledImageOptions,
    BudgetOptions,
    TargetOptions,
    SpaceOptions,
    StepOptions,
    FinalTrainingOptions,
    SpeedOptions,
    LimitOptions,
    HomeOptions,
):
    """Every option of `hwnas search`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON values; `from_json` is the inverse."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str | Mapping[str, str]) -> SearchConfig:
        """The config of `values`, all faults listed. where: what to call the source, or a name per key."""
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
    where = dict.fromkeys(given, str(file))
    for key, value in options.items():
        if value is not None:
            given[key], where[key] = value, (spell or option_name)(key)
    _expand_budget_ms(given, where)
    _expand_target(given, where)
    return SearchConfig.from_json(given, where), given


def option_name(key: str) -> str:
    """The command-line option of a field: those that are repeated are singular there."""
    known = definitions(SearchConfig).get(key)
    return known.flag if known else f"--{key.replace('_', '-')}"


def _expand_budget_ms(given: dict[str, Any], where: dict[str, str]) -> None:
    """Replaces the shorthand by the budget it stands for, in front of the others."""
    if "budget_ms" not in given:
        return
    limit, source = given.pop("budget_ms"), where.pop("budget_ms")
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise UsageError(f"{source}: budget_ms: must be a number of milliseconds, got {limit!r}")
    others = given.get("budgets", ())
    if not isinstance(others, (list, tuple)):
        raise UsageError(f"{where['budgets']}: budgets: must be a list like ['size_mb<=4'], got {others!r}")
    given["budgets"] = [f"latency_ms<={limit!r}", *others]
    where["budgets"] = source


def _expand_target(given: dict[str, Any], where: dict[str, str]) -> None:
    """Replaces one target by the list of it."""
    if "target" not in given:
        return
    target, source = given.pop("target"), where.pop("target")
    if "targets" in given:
        raise UsageError(f"{source}: target: targets are given too; give one of the two")
    given["targets"] = list(target) if isinstance(target, (list, tuple)) else [target]
    where["targets"] = source


def _validate(values: Mapping[str, Any], where: str | Mapping[str, str]) -> SearchConfig:
    from pydantic import ValidationError

    def source(key: str) -> str:
        return where if isinstance(where, str) else where.get(key, "configuration")

    faults = [
        f"{source(key)}: {key}: {type(value).__name__} is not allowed here"
        for key, value in values.items()
        if not _is_plain(value)
    ]
    if not faults:
        try:
            # Through JSON, because strict mode refuses plain dicts and lists otherwise; NaN is for
            # pydantic to report, with its path.
            config = _adapter().validate_json(json.dumps(dict(values)))
            faults = [f"{source('budgets')}: {fault}" for fault in _budget_faults(config.budgets)]
            if not faults:
                # One spelling each, so that a resume does not take 12.0 for another budget than 12.
                return dataclasses.replace(
                    config, budgets=tuple(str(Budget.parse(b)) for b in config.budgets)
                )
        except ValidationError as error:
            faults = [_fault(details, source) for details in error.errors()]
        except RecursionError:
            faults = ["configuration: nested too deeply"]
    raise UsageError("\n  ".join([f"{len(faults)} fault(s) in the configuration:", *faults]))


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


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(isinstance(item, (str, int, float, bool)) for item in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _fault(details: ErrorDetails, source: Any) -> str:
    key = str(details["loc"][0]) if details["loc"] else ""
    if details["type"] == "unexpected_keyword_argument":
        return f"{source(key)}: unknown key {key!r}; {did_you_mean(key, (*FIELDS, *SHORTHANDS))}"
    path = key + "".join(f"[{part}]" for part in details["loc"][1:] if isinstance(part, int))
    got = repr(details["input"])
    return f"{source(key)}: {path}: {details['msg']}, got {got if len(got) <= 80 else got[:77] + '...'}"


@cache
def _adapter() -> TypeAdapter[SearchConfig]:
    from pydantic import TypeAdapter

    return TypeAdapter(SearchConfig)
