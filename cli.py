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

from hwnas.runs.config import SearchConfig
from targets.errors import HwnasError, TargetError, UsageError, did_you_mean

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

targets_app = typer.Typer(help="Devices that networks are measured on.", no_args_is_help=True)
spaces_app = typer.Typer(help="Search spaces.", invoke_without_command=True)
methods_app = typer.Typer(help="Gradient search methods.", invoke_without_command=True)
tables_app = typer.Typer(help="Latency tables measured so far.", no_args_is_help=True)
app.add_typer(targets_app, name="targets")
app.add_typer(tables_app, name="tables")
app.add_typer(spaces_app, name="spaces")
app.add_typer(methods_app, name="methods")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
HomeOption = Annotated[
    str | None, typer.Option(help="Folder of tables and data; default HWNAS_HOME, else the user data folder.")
]


def _option(what: str, field: str | None = None) -> Any:
    """An option's help, with the default of that field of SearchConfig."""
    return typer.Option(help=f"{what}; default {getattr(DEFAULTS, field)}." if field else f"{what}.")


DEFAULTS = SearchConfig()
DEVICE_MINUTES = 5.0


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that no handler on the way swallows it."""


def main() -> None:
    """The console script `hwnas`."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; every error ends here as one message."""
    debug = "--debug" in arguments
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
    _say(f"stopped; go on with: {_go_on[-1]}" if _go_on else "stopped")
    return code


# How to go on with what a signal interrupts.
_go_on: list[str] = []


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


def _lines(row: dict[str, Any]) -> list[tuple[str, object]]:
    """One line per value: the items of a list under one heading, those of a table as `heading.key`."""
    out: list[tuple[str, object]] = []
    for key, value in row.items():
        if isinstance(value, dict):
            out += [(f"{key}.{k}", v) for k, v in value.items()]
        elif isinstance(value, list):
            out += [("" if i else key, v) for i, v in enumerate(value or [None])]
        else:
            out.append((key, value))
    return out


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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


@app.command()
def search(
    data: Annotated[
        str | None,
        _option("An image folder, a zip of one, or cifar10, cifar100, mnist, fashionmnist", "data"),
    ] = None,
    labels: Annotated[
        str | None, _option("CSV of file names and labels, where --data has no class folders")
    ] = None,
    image_size: Annotated[
        int | None, _option("Side in pixels, 16 to 224; default as the data suggest")
    ] = None,
    download: Annotated[
        bool | None, typer.Option("--download", help="Allow fetching cifar10 and the like.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        _option(
            "Upper limit METRIC<=NUMBER, repeatable; metrics: latency_ms, macs, params, size_mb, "
            "peak_memory_mb, energy_mj; default the median latency of 200 random architectures"
        ),
    ] = None,
    energy_table: Annotated[
        str | None, _option("CSV of key and energy_mj of every block, for a budget on energy_mj")
    ] = None,
    budget_ms: Annotated[float | None, _option("Short for --budget 'latency_ms<=NUMBER'")] = None,
    target: Annotated[str | None, _option("Device to search for, a name or a TOML file", "target")] = None,
    profile_minutes: Annotated[
        float | None, _option("For measuring blocks where no table fits yet", "profile_minutes")
    ] = None,
    space: Annotated[str | None, _option("Search space, a name or a TOML file of stages", "space")] = None,
    width_mult: Annotated[float | None, _option("Factor on all channels; default by image size")] = None,
    method: Annotated[str | None, _option("Gradient search, see `hwnas methods`", "method")] = None,
    supernet_steps: Annotated[
        int | None, _option("Training steps of the shared weights", "supernet_steps")
    ] = None,
    search_steps: Annotated[int | None, _option("Steps of the gradient search", "search_steps")] = None,
    population: Annotated[int | None, _option("Population of NSGA-II", "population")] = None,
    generations: Annotated[int | None, _option("Generations of NSGA-II", "generations")] = None,
    picks: Annotated[
        int | None, _option("Networks of the front to train, export and measure", "picks")
    ] = None,
    random_baselines: Annotated[
        int | None, _option("Random networks trained beside the picks", "random_baselines")
    ] = None,
    train_epochs: Annotated[
        int | None, _option("Epochs that each network is trained for", "train_epochs")
    ] = None,
    batch_size: Annotated[int | None, _option("Images per training step", "batch_size")] = None,
    batch: Annotated[int | None, _option("Images per inference of the exported networks", "batch")] = None,
    seed: Annotated[int | None, _option("Seed of everything random", "seed")] = None,
    tracker: Annotated[
        list[str] | None, _option("Also log to tensorboard or mlflow, repeatable; default none")
    ] = None,
    alpha_history: Annotated[
        bool | None, typer.Option("--alpha-history", help="Write alpha_<kind>_history.npy of the cells too.")
    ] = None,
    device: Annotated[str | None, _option("Where to train, cpu or cuda", "device")] = None,
    bf16: Annotated[
        bool | None, typer.Option("--bf16", help="Gradient search in bfloat16, with --device cuda.")
    ] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile", help="Gradient search with compiled cells (torch.compile).")
    ] = None,
    workers: Annotated[int | None, _option("Training processes; default one per core")] = None,
    minutes: Annotated[float | None, _option("Overall limit that the stages share; default none")] = None,
    config: Annotated[Path | None, _option("TOML file of these options; options given here win")] = None,
    out: Annotated[Path | None, _option("Run directory; default runs/<data>-<target>-<n>")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run.")] = None,
    home: HomeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print them all, and stop.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Search for networks, train the best, and export them checked and measured.

    \b
    Examples:
      hwnas search                                   digits, this machine, a default budget
      hwnas search --data photos/ --budget-ms 12     your images, at most 12 ms each
      hwnas search --data photos.zip --image-size 96 --budget 'size_mb<=4'
      hwnas search --resume runs/photos-host-1       go on after Ctrl-C or a crash
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    options = dict(locals())
    for key in ("config", "out", "resume", "dry_run", "quiet", "as_json"):
        del options[key]
    options["budgets"] = options.pop("budget") or None
    options["trackers"] = options.pop("tracker") or None
    _search(options, config, out, resume, dry_run=dry_run, quiet=quiet, as_json=as_json)


def _search(
    options: dict[str, Any],
    config_file: Path | None,
    out: Path | None,
    resume: Path | None,
    *,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from hwnas.preflight import planned_work, preflight
    from hwnas.runs.config import load_config
    from hwnas.runs.log import Log
    from hwnas.runs.run_dir import RunDir, default_path

    if resume and out:
        raise UsageError("--resume goes on in the run it names; leave --out away")
    config, given = load_config(config_file, options)
    preflight(config)
    if dry_run:
        return _print_json({"config": config.to_json(), "work": planned_work(config)})
    log = Log(quiet=quiet)
    path = resume or out or default_path(config)
    run_dir = (
        RunDir.open(path, given=given, log=log)
        if resume
        else RunDir.create(path, config, given=given, log=log)
    )
    _go_on.append(f"hwnas search --resume {path}")
    with run_dir:
        log(f"run directory {path}")
        from hwnas import pipeline

        pipeline.search(run_dir)
    _go_on.pop()
    _show_front(path, as_json)


def _show_front(path: Path, as_json: bool) -> None:
    from hwnas.runs.summary import HEADINGS, front_rows, read_front

    front = read_front(path)
    if as_json:
        return _print_json({"run": str(path), "front": front})
    _print_table(HEADINGS, front_rows(front))
    print(f"{path / 'front.csv'} has all points, {path / 'report.html'} shows them")


@app.command()
def train(
    genotype: Annotated[
        str | None, _option("The architecture: Genotype(...), a string of NAS-Bench-201, JSON or a key")
    ] = None,
    alphas: Annotated[Path | None, _option("Instead of it, alphas.npz of a search")] = None,
    epoch: Annotated[int | None, _option("Epoch of the alphas, from 1; default the last")] = None,
    method: Annotated[
        str | None, _option("Method that decodes the alphas; default that of the run they lie in")
    ] = None,
    data: Annotated[
        str, _option("An image folder, a zip of one, or cifar10, cifar100, mnist, fashion-mnist", "data")
    ] = DEFAULTS.data,
    space: Annotated[
        str, _option("Space of the architecture, a name or a TOML file; default darts")
    ] = "darts",
    image_size: Annotated[
        int | None, _option("Side in pixels, 16 to 224; default as the data suggest")
    ] = None,
    limit: Annotated[int | None, _option("Use at most so many images; default all")] = None,
    cells: Annotated[int | None, _option("Cells of the network; default as published")] = None,
    channels: Annotated[int | None, _option("Channels of its first cells; default as published")] = None,
    epochs: Annotated[int, _option("Epochs to train for; default 600")] = 600,
    batch_size: Annotated[int, _option("Images per training step; default 96")] = 96,
    seed: Annotated[int, _option("Seed of everything random", "seed")] = DEFAULTS.seed,
    device: Annotated[str, _option("Where to train, cpu or cuda", "device")] = DEFAULTS.device,
    download: Annotated[
        bool, typer.Option("--download", help="Allow fetching cifar10 and the like.")
    ] = False,
    out: Annotated[Path | None, _option("Folder; default runs/train-<space>-<id>-<hash>")] = None,
    home: HomeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print what would be trained, and stop.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train one architecture from scratch as the papers do, test it once, and export it checked.

    Cutout, drop-path on a line up to 0.2, and the auxiliary head where the space has one. The same command
    goes on after a stop.
    """
    options = dict(locals())
    for key in ("genotype", "data", "space", "dry_run", "as_json"):
        del options[key]
    _train(
        {**options, "architecture": genotype, "dataset": data, "search_space": space},
        dry_run=dry_run,
        as_json=as_json,
    )


def _train(options: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    from hwnas.api.training import Training, prepare, train_architecture

    asked = Training(**options)
    if dry_run:
        return _print_json(prepare(asked).document())
    _go_on.append("the same command; what is trained stays")
    trained = train_architecture(asked)
    _go_on.pop()
    facts = {
        "architecture": trained.architecture,
        "val_accuracy": trained.val_accuracy,
        "test_accuracy": trained.test_accuracy,
        **trained.costs,
        "epochs": trained.epochs,
        "folder": str(trained.folder),
        "onnx": str(trained.onnx),
    }
    return _print_json(facts) if as_json else _print_table(("what", "value"), facts.items())


@app.command()
def status(run_path: Annotated[Path, typer.Argument(metavar="RUN")], as_json: JsonOption = False) -> None:
    """Show how far a run is, and who works in it."""
    from hwnas.runs.status import run_status

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


@app.command()
def report(run_path: Annotated[Path, typer.Argument(metavar="RUN")]) -> None:
    """Write RUN/report.html again from the files of the run; it opens without a network."""
    from hwnas.report import write_report

    print(write_report(run_path))


@spaces_app.callback()
def spaces_list(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the search spaces, or `show` one."""
    if context.invoked_subcommand:
        return None
    from hwnas.spaces import SPACES

    return _print_json(sorted(SPACES)) if as_json else print("\n".join(sorted(SPACES)))


@spaces_app.command("show")
def spaces_show(name: Annotated[str, typer.Argument(metavar="SPACE")]) -> None:
    """Print the TOML file of a space: copy it, edit it, and give it to `hwnas search --space FILE`."""
    import hwnas.spaces

    if name not in hwnas.spaces.SPACES:
        raise UsageError(f"unknown space {name!r}; {did_you_mean(name, hwnas.spaces.SPACES)}")
    print(Path(hwnas.spaces.__file__).with_name(f"{name}.toml").read_text(encoding="utf-8"), end="")


@methods_app.callback()
def methods_list(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the gradient search methods, or `show` the parts of one."""
    if context.invoked_subcommand:
        return None
    from hwnas.gradient.methods import METHODS

    rows = [method.describe() for method in METHODS.parts.values()]
    if as_json:
        return _print_json(rows)
    columns = ("name", "title", "parts", "passes_per_step", "paper")
    headings = ("method", "title", "parts", "passes", "paper")
    return _print_table(headings, [tuple(r[c] for c in columns) for r in rows])


@methods_app.command("show")
def methods_show(name: Annotated[str, typer.Argument(metavar="METHOD")], as_json: JsonOption = False) -> None:
    """Show every part of a method, by name or of a TOML file of your own."""
    from hwnas.gradient.method_file import find_method

    row = find_method(name).describe()
    return _print_json(row) if as_json else _print_table(("part", "value"), _lines(row))


@targets_app.command("list")
def targets_list(as_json: JsonOption = False) -> None:
    """List the devices that come with hwnas."""
    from targets import known_targets, load_target

    found = [load_target(name) for name in known_targets()]
    if as_json:
        return _print_json([target.to_json() for target in found])
    return _print_table(
        ("name", "transport", *found[0].options),
        [(target.name, target.reach.transport, *target.options.values()) for target in found],
    )


@targets_app.command("show")
def targets_show(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="A name or a TOML file.")],
    as_json: JsonOption = False,
) -> None:
    """Print the TOML file of a device: copy it, edit it, and give it to `--target FILE`."""
    from targets import load_target, target_file

    target = load_target(name)
    return (
        _print_json(target.to_json())
        if as_json
        else print(target_file(name).read_text(encoding="utf-8"), end="")
    )


@targets_app.command("check")
def targets_check(
    name: Annotated[str, typer.Argument(metavar="TARGET", help="A name or a TOML file.")] = DEFAULTS.target,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a device has of what measuring needs, and measure a small network there; exit code 4 if not.

    Can it be reached, which Python and onnxruntime has it, is there room, is it quiet enough?
    """
    from hwnas.profile import check_target
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    document = check_target(load_target(name), home=data_home(home), log=Log())
    if as_json:
        _print_json(document)
    else:
        columns = ("name", "state", "found", "advice")
        _print_table(columns, [[need[column] for column in columns] for need in document["needs"]])
        if document["measured"]:
            print()
            _print_bench(document["measured"], as_json)
    missing = [need for need in document["needs"] if need["state"] == "missing"]
    if missing:
        raise TargetError("; ".join(f"{need['name']}: {need['advice']}" for need in missing))


ModelsArgument = Annotated[list[Path], typer.Argument(metavar="MODEL.onnx...")]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=1,3,224,224", help="Sizes of an input whose shape is open, repeatable."),
]


def _read_models(models: list[Path], shape: list[str] | None) -> dict[str, bytes]:
    from lut.models.model_file import parse_shapes, read_model

    shapes = parse_shapes(shape or [])
    return {str(path): read_model(path, shapes) for path in models}


@app.command()
def predict(
    models: ModelsArgument,
    target: Annotated[
        str, _option("Device to predict for, a name or a TOML file", "target")
    ] = DEFAULTS.target,
    breakdown: Annotated[
        bool, typer.Option("--breakdown", help="Show every layer, the costliest first.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page of the layers; it opens without a network."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run the networks on the device too, and show both.")
    ] = False,
    kernels_from: Annotated[
        str,
        typer.Option(help="Which kernels a network becomes: ask the `target`, by `layout rule`, or auto."),
    ] = "auto",
    shape: ShapeOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what ONNX files cost on a device that `hwnas profile` has characterised, without running them long.

    \b
    Examples:
      hwnas predict model.onnx
      hwnas predict model.onnx --target board.toml --breakdown
      hwnas predict model.onnx --shape input=1,3,224,224 --measure --html model.html
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.predict import predict as predict_models
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    document = predict_models(
        load_target(target),
        _read_models(models, shape),
        home=data_home(home),
        kernels_from=kernels_from,
        measure=measure,
        log=Log(),
    )
    if html is not None:
        from hwnas.report.breakdown import breakdown_page
        from targets.files import write_atomic

        write_atomic(html, breakdown_page(document))
        _say(f"wrote {html}")
    if as_json:
        return _print_json(document)
    from hwnas.latency_rows import (
        conditions_line,
        layer_table,
        prediction_table,
        prediction_warnings,
        profiled_line,
    )

    for line in prediction_warnings(document):
        _say(f"warning: {line}")
    _print_table(*prediction_table(document))
    for name, model in document["models"].items() if breakdown else ():
        print(f"\n{name}")
        _print_table(*layer_table(model))
    print(f"{profiled_line(document)}; {conditions_line(document)}")
    return None


@app.command()
def bench(
    models: ModelsArgument,
    target: Annotated[
        str, _option("Device to measure on, a name or a TOML file", "target")
    ] = DEFAULTS.target,
    memory: Annotated[
        bool | None,
        typer.Option(
            help="Peak memory, load time and first run of fresh processes; default where there is Python."
        ),
    ] = None,
    energy: Annotated[
        bool,
        typer.Option("--energy", help="Energy of a run, where the device has a meter; 12 s per network."),
    ] = False,
    shape: ShapeOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure ONNX files: latency side by side in one fresh process, memory in processes of their own."""
    from hwnas.profile import bench as measure_models
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    device = load_target(target)
    wants_memory = device.reach.transport != "adb" if memory is None else memory
    alone = [kind for kind, wanted in (("memory", wants_memory), ("energy", energy)) if wanted]
    files = _read_models(models, shape)
    _print_bench(measure_models(device, files, home=data_home(home), log=Log(), alone=alone), as_json)


def _print_bench(document: dict[str, Any], as_json: bool) -> None:
    from hwnas.latency_rows import bench_table, bench_warnings, conditions_line

    if as_json:
        return _print_json(document)
    for line in bench_warnings(document):
        _say(f"warning: {line}")
    _print_table(*bench_table(document))
    print(f"{document['date']}, {conditions_line(document)}")


@app.command()
def profile(
    target: Annotated[str, _option("Device to measure, a name or a TOML file", "target")] = DEFAULTS.target,
    minutes: Annotated[
        float | None,
        _option(f"Time to measure for; default {DEVICE_MINUTES:g}, for a space {DEFAULTS.profile_minutes:g}"),
    ] = None,
    start_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Predictor of another device or context, repeatable: a few networks correct the nearest.",
        ),
    ] = None,
    space: Annotated[
        str | None, _option("Make the table of this search space instead, a name or a TOML file")
    ] = None,
    image_size: Annotated[int | None, _option("For --space: side in pixels, 16 to 224; default 32")] = None,
    channels: Annotated[int | None, _option("For --space: channels of an image; default 3")] = None,
    classes: Annotated[int | None, _option("For --space: classes to tell apart; default 10")] = None,
    width_mult: Annotated[
        float | None, _option("For --space: factor on all channels; default by image size")
    ] = None,
    method: Annotated[
        str | None,
        _option("For --space: block-level, or in-context (profiles of whole networks); default block-level"),
    ] = None,
    batch: Annotated[int | None, _option("For --space: images per inference; default 1")] = None,
    seed: Annotated[int, _option("Seed of the networks drawn to measure", "seed")] = DEFAULTS.seed,
    home: HomeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print them, and stop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Characterise a device: from then on `hwnas predict` knows what any ONNX file costs there.

    With --space: measure what the blocks of a search space cost, for `hwnas search`, which finds the table.
    Both state their error on networks that they have not seen. A profile that was stopped goes on when the
    same command is given again.
    """
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    device = load_target(target)
    scale = {
        "image_size": image_size,
        "in_channels": channels,
        "n_classes": classes,
        "width_mult": width_mult,
        "method": method,
        "batch": batch,
    }
    given = {key: value for key, value in scale.items() if value is not None}
    if space is None and given:
        raise UsageError(
            f"{', '.join(given)} describe networks of a space; give --space too, or leave them away"
        )
    if space is not None and start_from:
        raise UsageError("--start-from is for the predictor of a device; leave it or --space away")
    if minutes is None:
        minutes = DEVICE_MINUTES if space is None else DEFAULTS.profile_minutes
    if not 0 < minutes <= 1440:
        raise UsageError(f"--minutes must lie above 0 and at most at 1440, got {minutes}")
    options: dict[str, Any] = {"minutes": minutes, "seed": seed}
    if space is None:
        options["start_from"] = start_from or []
    else:
        options |= {"in_channels": 3, "n_classes": 10, "image_size": 32, "width_mult": None}
        options |= {"method": "block-level", "batch": 1, **given}
        if not 1 <= options["batch"] <= 1024:
            raise UsageError(f"--batch must lie in 1 to 1024, got {batch}")
    if dry_run:
        return _print_json({"target": device.to_json(), "space": space, **options})
    from hwnas.profile import profile_device, profile_space
    from hwnas.tables import flat, table_facts

    options |= {"home": data_home(home), "log": Log()}
    if space is None:
        _go_on.append("the same command; what is measured stays")
        facts = table_facts(profile_device(device, **options))
        _go_on.pop()
    else:
        facts = table_facts(profile_space(device, space, **options))
    return _print_json(facts) if as_json else _print_table(("what", "value"), flat(facts))


@tables_app.command("list")
def tables_list(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the tables and predictors under the home, with the error of each."""
    from hwnas.tables import listed, stored_tables
    from lut.home import data_home
    from targets.errors import DamagedFileError

    rows = []
    for name, found in stored_tables(data_home(home)):
        if isinstance(found, DamagedFileError):
            _say(f"warning: {found}")
        rows.append(listed(name, found))
    if as_json:
        return _print_json(rows)
    if not rows:
        return _say(f"no latency tables under {data_home(home)}; `hwnas profile` makes one")
    columns = ("table", "state", "date", "mape_pct")
    return _print_table(columns, [[row.get(column) for column in columns] for row in rows])


TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="The name, or a part that only one has.")]


@tables_app.command("show")
def tables_show(name: TableArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what a table or predictor covers, its error on networks it has not seen, and its context."""
    from hwnas.tables import find_table, flat, table_facts
    from lut.home import data_home

    facts = table_facts(find_table(data_home(home), name).content)
    return _print_json(facts) if as_json else _print_table(("what", "value"), flat(facts))


@tables_app.command("export")
def tables_export(
    name: TableArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The archive to write.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a table or predictor into one file, for those who have not got the device."""
    from hwnas.tables import export_table, flat
    from lut.home import data_home

    document = export_table(data_home(home), name, out)
    return _print_json(document) if as_json else _print_table(("what", "value"), flat(document))


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
    from hwnas.tables import flat, import_table
    from lut.home import data_home

    document = import_table(data_home(home), file, replace=replace)
    return _print_json(document) if as_json else _print_table(("what", "value"), flat(document))


@app.command()
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check that this machine has what a search needs; exit code 4 if not."""
    from hwnas.runs.doctor import examine
    from lut.home import data_home

    found = examine(data_home(home))
    if as_json:
        _print_json(found)
    else:
        rows = [*found["versions"].items(), *found["machine"].items()]
        rows += [(key, found[key]) for key in ("cuda_devices", "home")]
        rows.append(("onnxruntime_providers", ", ".join(found["onnxruntime_providers"])))
        _print_table(("what", "found"), rows)
    if found["problems"]:
        raise TargetError("\n  ".join(("this machine is not ready:", *found["problems"])))


if __name__ == "__main__":
    main()
