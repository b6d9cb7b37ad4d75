"""The options of `hwnas search`, checked once at the door: TOML or the command line in, JSON out."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len

from hwnas.core.budget import Budget
from targets.errors import UsageError, did_you_mean
from targets.files import sha256

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

# A configuration is a page of text; more than this is another file given by mistake.
MAX_CONFIG_BYTES = 1_000_000

Text = Annotated[str, Len(1, 4096)]
Count = Annotated[int, Interval(ge=1, le=10_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """Every option of a search, with its default; what a value means stands in `hwnas search --help`.

    The fields of `FREE_ON_RESUME` may change when a run goes on; all others are the question it answers.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }

    data: Text = "digits"
    labels: Text | None = None
    image_size: Annotated[int, Interval(ge=16, le=224)] | None = None
    target: Text = "host"
    space: Text = "mobile"
    width_mult: Annotated[float, Interval(ge=0.25, le=8)] | None = None
    method: Text = "proxyless"
    budgets: Annotated[tuple[Text, ...], Len(0, 16)] = ()
    energy_table: Text | None = None
    profile_minutes: Annotated[float, Interval(gt=0, le=1440)] | None = None
    minutes: Annotated[float, Interval(gt=0, le=100_000)] | None = None
    picks: Annotated[int, Interval(ge=1, le=50)] = 5
    random_baselines: Annotated[int, Interval(ge=0, le=50)] = 2
    population: Annotated[int, Interval(ge=4, le=10_000)] = 24
    generations: Annotated[int, Interval(ge=1, le=10_000)] = 10
    supernet_steps: Count = 500
    search_steps: Count = 100
    train_epochs: Annotated[int, Interval(ge=1, le=10_000)] = 12
    batch_size: Annotated[int, Interval(ge=2, le=8192)] = 64
    seed: Annotated[int, Interval(ge=0, le=2**32 - 1)] = 0
    device: Literal["cpu", "cuda"] = "cpu"
    bf16: bool = False
    compile: bool = False
    workers: Annotated[int, Interval(ge=1, le=256)] | None = None
    batch: Annotated[int, Interval(ge=1, le=1024)] = 1
    home: Text | None = None
    download: bool = False
    alpha_history: bool = False
    trackers: Annotated[tuple[Text, ...], Len(0, 8)] = ()

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON values; `from_json` is the inverse."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str | Mapping[str, str]) -> SearchConfig:
        """The config of `values`, all faults listed. where: what to call the source, or a name per key."""
        return _validate(values, where)

    def question_hash(self) -> str:
        """SHA-256 of the fields that decide the result."""
        question = {k: v for k, v in self.to_json().items() if k not in FREE_ON_RESUME}
        return sha256(json.dumps(question, sort_keys=True, allow_nan=False).encode())


FREE_ON_RESUME = frozenset({"minutes", "workers", "home", "download", "alpha_history", "trackers"})
"""Limits, places and what is shown: another value on resume does not change the question."""

FIELDS = tuple(field.name for field in dataclasses.fields(SearchConfig))
SHORTHANDS = ("budget_ms",)
REPEATED = {"budgets": "budget", "trackers": "tracker"}


def load_config(file: Path | None, options: Mapping[str, Any]) -> tuple[SearchConfig, dict[str, Any]]:
    """The config of a TOML file overridden by options, and the values that were given (no defaults).

    options: field name -> value; None means not given. `budget_ms` stands for the budget on latency_ms.
    """
    given: dict[str, Any] = dict(read_toml(file)) if file else {}
    where = dict.fromkeys(given, str(file))
    for key, value in options.items():
        if value is not None:
            given[key], where[key] = value, option_name(key)
    _expand_budget_ms(given, where)
    return SearchConfig.from_json(given, where), given


def option_name(key: str) -> str:
    """The command-line option of a field: those that are repeated are singular there."""
    return f"--{REPEATED.get(key, key).replace('_', '-')}"


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file; UsageError when it is missing, huge, binary or not TOML."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_CONFIG_BYTES:
            raise UsageError(f"{path}: {size_bytes} bytes is no configuration; at most {MAX_CONFIG_BYTES}")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not TOML: {error}"
        raise UsageError(f"{path}: {reason}") from None


def dump_toml(values: Mapping[str, Any]) -> str:
    """Flat values (strings, numbers, booleans, lists of them) as TOML; `read_toml` reads them back."""
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in values.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    # JSON's strings, numbers and booleans are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


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
                # One spelling each, so that a resume does not take 12.0 for another question than 12.
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
