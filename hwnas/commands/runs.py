"""`hwnas status`, `report`, `doctor`: what is there already, a run or a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from targets.errors import TargetError

from .options import HomeOption, JsonOption
from .output import print_json, print_table


def status(
    run_path: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Show how far a run is: the stage under way, its share and the time left, who works in it, what next.

    \b
    Examples:
      hwnas status runs/photos-host-1
      hwnas status runs/photos-host-1 --json | jq .under_way.share
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.runs.status import run_status

    document = run_status(run_path)
    if as_json:
        return print_json(document)
    holder = document["in_use_by"]
    print(f"{document['run']}: {document['kind']}, {document['state']}" + (f" by {holder}" if holder else ""))
    if document["under_way"]:
        print(_under_way(document["under_way"], running=bool(holder)))
    rows = [(s["name"], s["state"], s["does"] or None, s["finished"]) for s in document["stages"]]
    print_table(("stage", "state", "does", "finished"), rows)
    print(f"models: {len(document['models'])}; report: {document['report'] or 'not written yet'}")
    print(f"next: {document['next']}")
    return None


def _under_way(facts: dict[str, Any], *, running: bool) -> str:
    """`stage 9 of 11, train picks: training 40 % (320 of 800), 3m20s so far, about 5m00s left`."""
    from hwnas.runs.log import duration

    parts = [f"{duration(facts['elapsed_s'])} so far"]
    if facts["share"] is not None:
        parts.insert(0, f"{facts['part']} {100 * facts['share']:.0f} % ({facts['done']} of {facts['total']})")
    if running and facts["left_s"] is not None:
        parts.append(f"about {duration(facts['left_s'])} left")
    if not running:
        parts.append("stopped there")
    return f"stage {facts['number']} of {facts['of']}, {facts['does']}: {', '.join(parts)}"


def report(run_path: Annotated[Path, typer.Argument(metavar="RUN")]) -> None:
    """Write RUN/report.html again from the files of the run; it opens without a network."""
    from hwnas.report import write_report
    from hwnas.runs.identity import read_identity

    read_identity(run_path)  # a folder that is no run is left as it is
    print(write_report(run_path))


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check that this machine has what a search needs, and that the home is whole; exit code 4 if not."""
    from hwnas.commands.documents.tables import stored_tables, table_row
    from hwnas.runs.doctor import examine
    from lut.home import data_home
    from lut.tables.bundle import PREDICTOR
    from targets.errors import DamagedFileError

    place = data_home(home)
    tables = stored_tables(place)
    damaged = [str(stored) for _, stored in tables if isinstance(stored, DamagedFileError)]
    profiles = [name for name, _ in tables if name.endswith(f"/{PREDICTOR}")]
    rows_of = [table_row(name, stored) for name, stored in tables]
    states = [f"{row['table']}: {row['state']}" for row in rows_of if row["state"] not in ("ok", "damaged")]
    found = examine(place, damaged, len(profiles), states)
    if as_json:
        print_json(found)
    else:
        rows = list((found["versions"] | found["machine"]).items())  # both know Python
        rows += [(key, found[key]) for key in ("cuda_devices", "home")]
        rows += [("tables", len(tables) - len(profiles)), ("profiles", len(profiles))]
        rows.append(("onnxruntime_providers", ", ".join(found["onnxruntime_providers"])))
        print_table(("what", "found"), rows)
        for remark in found["warnings"]:
            print(f"- {remark}")
        print(f"verdict: {found['verdict']}")
    if found["problems"]:
        raise TargetError("\n  ".join(("this machine is not ready:", *found["problems"])))
