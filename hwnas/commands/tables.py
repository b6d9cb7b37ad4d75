"""`hwnas tables`: latency tables and predictors measured so far."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import HomeOption, JsonOption, TableArgument, output_file
from .output import print_json, print_table, say

tables_app = typer.Typer(help="Latency tables measured so far.", no_args_is_help=True)


@tables_app.command("list")
def tables_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the tables and predictors under the home, with the error of each."""
    from hwnas.commands.documents.tables import stored_tables, table_row
    from lut.home import data_home
    from targets.errors import DamagedFileError

    rows = []
    for name, stored in stored_tables(data_home(home)):
        if isinstance(stored, DamagedFileError):
            say(f"warning: {stored}")
        rows.append(table_row(name, stored))
    if as_json:
        return print_json(rows)
    if not rows:
        return say(f"no latency tables under {data_home(home)}; `hwnas profile` makes one")
    columns = ("table", "state", "date", "mape_pct")
    return print_table(columns, [[row.get(column) for column in columns] for row in rows])


@tables_app.command("show")
def tables_show(name: TableArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what a table or predictor covers, its error on networks it has not seen, and its context."""
    from hwnas.commands.documents.tables import find_table, flat_rows, table_facts
    from lut.home import data_home

    facts = table_facts(find_table(data_home(home), name).content)
    return print_json(facts) if as_json else print_table(("what", "value"), flat_rows(facts))


@tables_app.command("export")
def tables_export(
    name: TableArgument,
    out: Annotated[Path, output_file("--out", "The archive to write")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a table or predictor into one file, for those who have not got the device."""
    from hwnas.commands.documents.tables import export_table, flat_rows
    from lut.home import data_home

    document = export_table(data_home(home), name, out)
    return print_json(document) if as_json else print_table(("what", "value"), flat_rows(document))


@tables_app.command("import")
def tables_import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of `hwnas tables export`.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another one of that name.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring an archive of a table or predictor under the home, after checking all of it."""
    from hwnas.commands.documents.tables import flat_rows, import_table
    from lut.home import data_home

    document = import_table(data_home(home), file, replace=replace)
    return print_json(document) if as_json else print_table(("what", "value"), flat_rows(document))
