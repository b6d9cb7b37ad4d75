"""The run directory of `hwnas search`: its identity are the options, of which some are free on resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from targets.errors import UsageError
from targets.files import safe_name, user_path

from .config import SearchConfig, option_name
from .definition import free_on_resume
from .front_file import FRONT_JSON
from .identity import IDENTITY, SEARCH, Identity, is_run, read_identity
from .log import Log
from .run_dir import RunDir
from .training_device import AUTO, CPU, on_found_device

SHORT_FOLDER, FINAL_FOLDER = "evaluations", "training"
"""Of the trainings, in the run directory: those that score architectures, those that end them."""
LONGER_FOLDER = "training-longer"
"""Of those that go on after the final ones, where `--minutes` left time."""


def create_search(
    path: Path, config: SearchConfig, *, given: Mapping[str, Any] | None = None, log: Log | None = None
) -> RunDir:
    """A new search at `path`. given: what the user set, for config.toml; else all options stand there."""
    return RunDir.create(path, _identity(config), given=config.to_json() if given is None else given, log=log)


_OF_GROWN_DATA = frozenset(
    ("grown_data", "labels", "skip_broken", "teacher", "teacher_weights", "distil", "temperature")
)
"""What a search that goes on with data that grew may be told besides."""


def continued(
    config: SearchConfig, given: Mapping[str, Any], *, spell: Callable[[str], str] = option_name
) -> SearchConfig:
    """The options of a search that goes on from a finished one: those of that one, trained longer.

    `config` itself where it does not go on. given: what the user set; UsageError for what cannot change.
    """
    if config.continue_from is None:
        if config.grown_data is not None:
            raise UsageError(
                f"{spell('grown_data')} needs the finished search that knows a part of it: "
                f"{spell('continue_from')} RUN; without one give {spell('data')}"
            )
        return config
    allowed = {"continue_from", "train_epochs"} | free_on_resume(SearchConfig)
    if config.grown_data is not None:
        allowed |= _OF_GROWN_DATA
    if others := sorted(given.keys() - allowed):
        raise UsageError(
            f"{', '.join(map(spell, others))}: a search that goes on keeps its images, its networks and its "
            f"recipe; leave it away, or start a search of its own without {spell('continue_from')}"
        )
    if config.train_epochs is None and config.minutes is None:
        raise UsageError(
            f"{spell('continue_from')} needs the length: {spell('train_epochs')}, or {spell('minutes')}"
        )
    path = Path(config.continue_from)
    stored = stored_config(read_identity(path), path)
    if not (path / FRONT_JSON).is_file():
        raise UsageError(f"{path} is not finished; `hwnas search --resume {path}` goes on with it")
    changed = {name: getattr(config, name) for name in allowed & given.keys()}
    changed["continue_from"] = str(path.absolute())
    if config.grown_data is not None:
        changed["data"] = config.grown_data
    return replace(stored, **{"minutes": None, "train_epochs": config.train_epochs, **changed})


def open_search(path: Path, *, given: Mapping[str, Any] | None = None, log: Log | None = None) -> RunDir:
    """The search at `path`, to go on with it.

    given: options set again on resume. Those that are free on resume take effect; any other that differs from
    the run's is a UsageError.
    """
    stored = stored_config(read_identity(path), path)
    config = SearchConfig.from_json({**stored.to_json(), **(given or {})}, "the options")
    return _open(path, config, spell=option_name, log=log)


def enter_search(
    path: Path, config: SearchConfig, *, given: Mapping[str, Any], log: Log | None = None
) -> RunDir:
    """The search at `path`: gone on with where it is of the same options, else new."""
    if is_run(path):
        return _open(path, config, spell=str, log=log)
    return create_search(path, config, given=given, log=log)


def stored_config(identity: Identity, path: Path) -> SearchConfig:
    """The options of the run at `path`; UsageError where it is no search."""
    if identity.kind != SEARCH:
        raise UsageError(f"{path} holds a {identity.kind}; the call that made it goes on with it")
    return SearchConfig.from_json(identity.values, str(path / IDENTITY))


def default_path(config: SearchConfig, runs: Path = Path("runs")) -> Path:
    """The first free `runs/<data>-<target>-<n>`, with every target in it."""
    stem = "-".join(map(_stem, (config.data, *config.targets)))[:90]
    n = 1
    while (runs / f"{stem}-{n}").exists():
        n += 1
    return runs / f"{stem}-{n}"


def _open(path: Path, config: SearchConfig, *, spell: Callable[[str], str], log: Log | None) -> RunDir:
    defaults = SearchConfig().to_json()
    return RunDir.open(path, _identity(config), defaults=defaults, spell=spell, log=log)


def _identity(config: SearchConfig) -> Identity:
    if config.federated is not None and config.device == AUTO:
        config = replace(config, device=CPU)  # each part trains on its own
    if config.device == AUTO:  # a run stays on the device that it began on
        config = on_found_device(config)
    return Identity(kind=SEARCH, values=config.to_json(), free=free_on_resume(SearchConfig))


def _stem(name_or_path: str) -> str:
    try:
        return safe_name(user_path(name_or_path).absolute().stem)[:40]
    except UsageError:
        return "unnamed"  # letters that no folder name should be made of
