"""What a run is of: all that decides its result, as JSON, and the one check that a resume is of the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError, UsageError
from targets.files import digest_of, safe_name

from .lock import LOCK_NAME

IDENTITY = "config.resolved.json"
"""The file of it; a folder with this file is a run."""

FORMER = "question.json"
"""What it was called in the folders of searchers and trainings before schema 1 was that of every run."""

SCHEMA = 1
SEARCH, GRADIENT_SEARCH, DISCRETE_SEARCH = "search", "gradient-search", "discrete-search"
TABLE_SEARCH = "table-search"
TRAINING, EXPORT, SHRINKING = "training", "export", "shrinking"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A run: which kind of run it is, and the values that decide its result.

    free: names among the values that may change on resume, because they limit the run, or say where things
    lie or what is shown.
    """

    kind: str
    values: Mapping[str, Any]
    free: Collection[str] = ()

    @property
    def hash(self) -> str:
        """SHA-256 of the values that decide the result."""
        deciding = {name: value for name, value in self.values.items() if name not in self.free}
        return digest_of(deciding)

    def default_folder(self, name: str) -> Path:
        """`runs/<name>-<hash>`: the same run is found there again."""
        return Path("runs") / f"{safe_name(name)}-{self.hash[:8]}"

    def write(self, folder: Path) -> None:
        """As `IDENTITY`, sealed."""
        write_checksummed(folder / IDENTITY, {"schema": SCHEMA, "kind": self.kind, **self.values})

    def require_same(self, stored: Identity, folder: Path, spell: Callable[[str], str] = str) -> None:
        """UsageError that names every value in which this run is not the stored one.

        spell: a value's name in the words of the user.
        """
        if self.kind != stored.kind:
            raise UsageError(
                f"{folder} holds {_with_article(stored.kind)}, and this is {_with_article(self.kind)}; give "
                "another folder"
            )
        names = sorted({*self.values, *stored.values} - set(self.free))
        differing = [n for n in names if self.values.get(n) != stored.values.get(n)]
        if differing:
            lines = "".join(
                f"\n  {what}: the run has {old!r}, asked for {new!r}"
                for n in differing
                for what, old, new in _differences(spell(n), stored.values.get(n), self.values.get(n))
            )
            raise UsageError(
                f"{folder} holds another run, and going on never changes what a run is of:{lines}\nAsk for "
                f"the same to go on there, or start a new run in another folder"
            )


def _differences(what: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """(name, value of the run, value asked for) of all that differs; of two tables only their entries.

    >>> _differences("recipe", {"epochs": 2, "lr": 0.1}, {"epochs": 9, "lr": 0.1})
    [('recipe.epochs', 2, 9)]
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [(what, old, new)] if old != new else []
    rows = (_differences(f"{what}.{key}", old.get(key), new.get(key)) for key in sorted({*old, *new}))
    return [row for part in rows for row in part]


def _with_article(kind: str) -> str:
    """The kind with its article.

    >>> _with_article("export")
    'an export'
    """
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a search that was made when it had one target."""
    if "target" in values and "targets" not in values:
        values["targets"] = [values.pop("target")]
    return values


def is_run(folder: Path) -> bool:
    """Whether a run was made in the folder."""
    return any((folder / name).exists() for name in (IDENTITY, FORMER))


def read_identity(folder: Path) -> Identity:
    """The identity of the run in `folder`, without locking it."""
    if (folder / IDENTITY).exists():
        values = read_checksummed(folder / IDENTITY, "the identity of the run")
        schema = values.pop("schema", None)
        if schema != SCHEMA:
            raise DamagedFileError(
                f"{folder / IDENTITY} has schema {schema!r}, this hwnas reads {SCHEMA}; use the version that "
                f"made it"
            )
        kind = values.pop("kind", SEARCH)
        return Identity(kind=kind, values=_renamed(values) if kind == SEARCH else values)
    if (folder / FORMER).exists():
        values = read_checksummed(folder / FORMER, "the identity of the run")
        return Identity(kind=TRAINING if "job_sha256" in values else GRADIENT_SEARCH, values=values)
    if (folder / LOCK_NAME).exists():
        raise UsageError(
            f"{folder} is no run directory: its run was stopped before it began; give the command again, "
            "with this folder as --out"
        )
    raise UsageError(f"{folder} is no run directory: it has no {IDENTITY}; runs are made by `hwnas search`")
