"""`hwnas status`, `report`, `doctor`: what is there already, a run or a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from targets.errors import TargetError

from .options import HomeOption, JsonOption
from .output import print_json, print_table


def status(run_path: Annotated[Path, typer.Argument(metavar="RUN")], as_json: JsonOption = False) -> None:
    """Show how far a run is, and who works in it."""
    from hwnas.runs.status import run_status

    document = run_status(run_path)
    if as_json:
        return print_json(document)
    print(
        f"{document['run']}: "
        + (f"in use by {document['in_use_by']}" if document["in_use_by"] else "at rest")
    )
    steps = [(stage, f"at step {step}") for stage, step in document["checkpoint_steps"].items()]
    print_table(
        ("stage", "state"), [*((s, f"done {when}") for s, when in document["stages_done"].items()), *steps]
    )
    print(f"models: {len(document['models'])}; report: {document['report'] or 'not written yet'}")


def report(run_path: Annotated[Path, typer.Argument(metavar="RUN")]) -> None:
    """Write RUN/report.html again from the files of the run; it opens without a network."""
    from hwnas.report import write_report
    from hwnas.runs.identity import read_identity

    read_identity(run_path)  # a folder that is no run is left as it is
    print(write_report(run_path))


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check that this machine has what a search needs; exit code 4 if not."""
    from hwnas.runs.doctor import examine
    from lut.home import data_home

    found = examine(data_home(home))
    if as_json:
        print_json(found)
    else:
        rows = [*found["versions"].items(), *found["machine"].items()]
        rows += [(key, found[key]) for key in ("cuda_devices", "home")]
        rows.append(("onnxruntime_providers", ", ".join(found["onnxruntime_providers"])))
        print_table(("what", "found"), rows)
    if found["problems"]:
        raise TargetError("\n  ".join(("this machine is not ready:", *found["problems"])))
