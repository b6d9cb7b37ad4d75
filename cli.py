"""The commands of hwnas: thin, typed, and light to start.

Data goes to stdout, everything else to stderr. Nothing heavy is imported before a command needs it
(tests/house/test_imports.py). What the commands do lives in `hwnas`, `lut` and `targets`.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from targets.errors import HwnasError

SEARCH_EXAMPLES = """
Examples:

  hwnas search                                      the digits data set, this machine, a default budget

  hwnas search --data photos/ --budget-ms 12        your images, at most 12 ms per image on this machine

  hwnas search --data photos.zip --image-size 96 --budget latency_ms<=12 --budget size_mb<=4

  hwnas search --resume runs/photos-host-1          go on after Ctrl-C, a crash or a power cut

Quote budgets in a shell: --budget 'size_mb<=4'.
"""

app = typer.Typer(
    name="hwnas",
    help="Finds networks for the device at hand: measured latency, a Pareto front, checked ONNX files.",
    epilog="Exit codes: 0 ok, 1 bug, 2 usage, 3 damaged file, 4 target unable, 5 nothing feasible, "
    "130 Ctrl-C, 143 SIGTERM. Add --debug to any command for the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
HomeOption = Annotated[
    str | None, typer.Option(help="Folder of tables and data; default HWNAS_HOME, else the user data folder.")
]


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that no handler on the way swallows it."""


def main() -> None:
    """The console script `hwnas`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; every error ends here as one message."""
    debug = "--debug" in arguments
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app([a for a in arguments if a != "--debug"], prog_name="hwnas")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
        return _stopped(code) if code == 130 else code
    except KeyboardInterrupt:
        return _stopped(130)
    except Terminated:
        return _stopped(143)
    except HwnasError as error:
        if debug:
            raise
        _say(f"error: {error}")
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        _say(
            f"internal error: {type(error).__name__}: {error}\nThis is a bug of hwnas. Run the command again "
            f"with --debug for the traceback, and report it"
        )
        return 1
    return 0


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def _stopped(code: int) -> int:
    run_path = _current_run[-1] if _current_run else None
    _say("stopped" if run_path is None else f"stopped; go on with: hwnas search --resume {run_path}")
    return code


# The run that a signal interrupts, for the message that tells how to go on.
_current_run: list[Path] = []


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, allow_nan=False))


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned with spaces; numbers to the right."""
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    for row in cells:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_version(wanted: bool) -> None:
    if wanted:
        from hwnas.environment import versions

        for name, number in versions().items():
            print(f"{name} {number or 'not installed'}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print versions and stop."),
    ] = False,
) -> None:
    """Options of every command."""


@app.command()
def status(run_path: Annotated[Path, typer.Argument(metavar="RUN")], as_json: JsonOption = False) -> None:
    """Show how far a run is, and who works in it."""
    from hwnas.status import run_status

    document = run_status(run_path)
    if as_json:
        return _print_json(document)
    print(
        f"{document['run']}: "
        + (f"in use by {document['in_use_by']}" if document["in_use_by"] else "at rest")
    )
    steps = [(stage, f"at step {step}") for stage, step in document["checkpoint_steps"].items()]
    _print_table(
        ("stage", "state"), [*((s, f"done {when}") for s, when in document["stages_done"].items()), *steps]
    )
    print(f"models: {len(document['models'])}; report: {document['report'] or 'not written yet'}")


if __name__ == "__main__":
    main()
