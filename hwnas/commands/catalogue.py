"""`hwnas spaces`, `hwnas methods` and `hwnas strategies`: what a search can be made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.core.names import NAMES, require_name
from targets.errors import UsageError, did_you_mean

from .options import JsonOption
from .output import lines, print_json, print_table

spaces_app = typer.Typer(help="Search spaces.", invoke_without_command=True)
methods_app = typer.Typer(help="Gradient search methods.", invoke_without_command=True)
strategies_app = typer.Typer(help="How the front is searched.", invoke_without_command=True)


@spaces_app.callback()
def spaces_list(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the search spaces with their choices and sizes, or `show` one."""
    if context.invoked_subcommand:
        return None
    from hwnas.spaces import SPACES, load_space

    rows = []
    for name in sorted(SPACES):
        space = load_space(name, image_size=_IMAGE_SIZE, in_channels=3, n_classes=10)
        rows.append(
            {
                "space": name,
                "choices": len(space.choices),
                "architectures": _power_of_ten(space.size),
                "about": _about(name),
            }
        )
    return print_json(rows) if as_json else print_table(tuple(rows[0]), [list(r.values()) for r in rows])


_IMAGE_SIZE = 32


def _power_of_ten(n: int) -> str:
    """`3.2e18`, however large the number."""
    digits = str(n)
    return digits if len(digits) < 7 else f"{digits[0]}.{digits[1]}e{len(digits) - 1}"


def _about(name: str) -> str:
    """The first line of the file of the space."""
    return _file_of(name).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").rstrip(".")


def _file_of(name: str) -> Path:
    import hwnas

    return Path(hwnas.__file__).parent / "spaces" / f"{name}.toml"


@spaces_app.command("show")
def spaces_show(name: Annotated[str, typer.Argument(metavar="SPACE")]) -> None:
    """Print the TOML file of a space: copy it, edit it, and give it to `hwnas search --space FILE`."""
    known = NAMES["space"].all()
    if name not in known:
        raise UsageError(f"unknown space {name!r}; {did_you_mean(name, known)}")
    print(_file_of(name).read_text(encoding="utf-8"), end="")


@methods_app.callback()
def methods_list(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the gradient search methods, or `show` the parts of one."""
    if context.invoked_subcommand:
        return None
    from hwnas.gradient.methods import METHODS

    rows = [method.describe() for method in METHODS.parts.values()]
    if as_json:
        return print_json(rows)
    columns = ("name", "title", "parts", "passes_per_step", "paper")
    headings = ("method", "title", "parts", "passes", "paper")
    return print_table(headings, [tuple(r[c] for c in columns) for r in rows])


@methods_app.command("show")
def methods_show(name: Annotated[str, typer.Argument(metavar="METHOD")], as_json: JsonOption = False) -> None:
    """Show every part of a method, by name or of a TOML file of your own."""
    require_name("method", name)
    from hwnas.gradient.method_file import find_method

    row = find_method(name).describe()
    return print_json(row) if as_json else print_table(("part", "value"), lines(row))


@strategies_app.callback()
def strategies(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the strategies of the discrete search with their options, or `show` one."""
    if context.invoked_subcommand:
        return None
    from hwnas.front import STRATEGIES

    rows = [STRATEGIES[name].describe() for name in sorted(STRATEGIES)]
    if as_json:
        return print_json(rows)
    options = [", ".join(f"{k}={v!r}" for k, v in row["options"].items()) for row in rows]
    cells = [(r["name"], r["title"], o or "-", r["paper"]) for r, o in zip(rows, options, strict=True)]
    return print_table(("strategy", "title", "options", "paper"), cells)


@strategies_app.command("show")
def strategies_show(
    name: Annotated[str, typer.Argument(metavar="STRATEGY")], as_json: JsonOption = False
) -> None:
    """Show a strategy, what its options mean, and how to set one: `--strategy-option NAME=VALUE`."""
    require_name("strategy", name)
    from hwnas.front import STRATEGIES

    row = STRATEGIES[name]
    document = row.describe() | {"about": row.about}
    return print_json(document) if as_json else print_table(("part", "value"), lines(document))
