"""The commands put together under their topics, and the exit codes of their errors and of signals."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from types import FrameType
from typing import Annotated

import typer

from targets.errors import HwnasError, UsageError

from . import catalogue, data, tables, targets
from .export import export
from .front import front_app
from .help import TopicCommand, TopicGroup
from .interrupted import way_on
from .latency import bench, predict
from .output import say
from .profile import profile
from .rank import rank
from .runs import doctor, report, status
from .schema import schema
from .search import search
from .shrink import shrink
from .train import train

app = typer.Typer(
    name="hwnas",
    help="Finds networks for the device at hand: measured latency, a Pareto front, checked ONNX files.",
    epilog="Exit codes: 0 ok, 1 bug, 2 usage, 3 damaged file, 4 target unable, 5 nothing feasible, "
    "129 terminal closed, 130 Ctrl-C, 143 SIGTERM. Add --debug to any command for the traceback of an error.",
    no_args_is_help=True,
    cls=TopicGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TOPICS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Search, train, ship": {
        "search": search,
        "train": train,
        "export": export,
        "shrink": shrink,
        "status": status,
        "report": report,
        "rank": rank,
        "front": front_app,
    },
    "What networks cost": {
        "profile": profile,
        "predict": predict,
        "bench": bench,
        "targets": targets.targets_app,
        "tables": tables.tables_app,
    },
    "Look first": {
        "doctor": doctor,
        "data": data.data_app,
        "spaces": catalogue.spaces_app,
        "strategies": catalogue.strategies_app,
        "methods": catalogue.methods_app,
        "schema": schema,
    },
}
"""Topic of the help -> name -> command or group."""

for topic, commands in TOPICS.items():
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, cls=TopicGroup, rich_help_panel=topic)
            for one_of_group in command.registered_commands:
                one_of_group.cls = TopicCommand
        else:
            app.command(name, cls=TopicCommand, rich_help_panel=topic)(command)


READER_GONE = 141
"""Exit code when the reader of stdout has left (`hwnas methods | head -1`), as a shell gives for SIGPIPE."""


ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that end a command. The last says that a terminal closed; some systems lack it."""


class Terminated(BaseException):
    """One of ENDING but Ctrl-C arrived; not an Exception, so that no handler on the way swallows it."""

    def __init__(self, signum: int):
        super().__init__(signum)
        self.exit_code = 128 + signum


def main() -> None:
    """Run the command line of this process, and end it with the exit code."""
    for name in ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else _terminate)
    if isinstance(sys.stdout, TextIOWrapper):  # as stderr is: names of files and classes may hold any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # what was left in the buffer has no reader; the interpreter would flush it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_GONE
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; every error ends here as one message."""
    debug = "--debug" in arguments
    try:
        app([a for a in arguments if a != "--debug"], prog_name="hwnas")
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer's answer to it is 1, the code of a bug
            return READER_GONE
        code = stop.code if isinstance(stop.code, int) else 1
        return _stopped(code) if code == 130 else code
    except KeyboardInterrupt:
        return _stopped(130)
    except Terminated as end:
        return _stopped(end.exit_code)
    except HwnasError as error:
        if debug:
            raise
        say(f"error: {error}")
        return error.exit_code
    except Exception as error:  # the outermost edge: what is left is a bug, and told as one
        if debug:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            name = str(error.filename or "")
            say(f"error: {name[:60]}… is too long for the name of a file or folder; give a shorter one")
            return UsageError.exit_code
        say(
            f"internal error: {type(error).__name__}: {error}\nThis is a bug of hwnas. Run the command again "
            f"with --debug for the traceback, and report it"
        )
        return 1
    return 0


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated(signum)


def _stopped(code: int) -> int:
    say(f"stopped; go on with: {way_on()}" if way_on() else "stopped")
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        from hwnas.runs.environment import versions

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
