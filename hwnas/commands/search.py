"""`hwnas search`: the whole way from images to measured networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from targets.errors import UsageError

from .interrupted import resumable
from .options import HomeOption, JsonOption, QuietOption, option
from .output import print_json, print_table


def search(
    data: Annotated[
        str | None,
        option("An image folder, a zip of one, or cifar10, cifar100, mnist, fashion-mnist", "data"),
    ] = None,
    labels: Annotated[
        str | None, option("CSV of file names and labels, where --data has no class folders")
    ] = None,
    image_size: Annotated[
        int | None, option("Side in pixels, 16 to 224; default as the data suggest")
    ] = None,
    download: Annotated[
        bool | None, typer.Option("--download", help="Allow fetching cifar10 and the like.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        option(
            "Upper limit METRIC<=NUMBER, repeatable; metrics: latency_ms, macs, params, size_mb, "
            "peak_memory_mb, energy_mj; default the median latency of 200 random architectures"
        ),
    ] = None,
    energy_table: Annotated[
        str | None, option("CSV of key and energy_mj of every block, for a budget on energy_mj")
    ] = None,
    budget_ms: Annotated[float | None, option("Short for --budget 'latency_ms<=NUMBER'")] = None,
    target: Annotated[str | None, option("Device to search for, a name or a TOML file", "target")] = None,
    profile_minutes: Annotated[
        float | None,
        option("For measuring blocks where no table fits yet; default 0.8 and more by the space"),
    ] = None,
    space: Annotated[str | None, option("Search space, a name or a TOML file of stages", "space")] = None,
    width_mult: Annotated[float | None, option("Factor on all channels; default by image size")] = None,
    method: Annotated[str | None, option("Gradient search, see `hwnas methods`", "method")] = None,
    supernet_steps: Annotated[
        int | None, option("Training steps of the shared weights", "supernet_steps")
    ] = None,
    search_steps: Annotated[int | None, option("Steps of the gradient search", "search_steps")] = None,
    population: Annotated[int | None, option("Population of NSGA-II", "population")] = None,
    generations: Annotated[int | None, option("Generations of NSGA-II", "generations")] = None,
    picks: Annotated[
        int | None, option("Networks of the front to train, export and measure", "picks")
    ] = None,
    random_baselines: Annotated[
        int | None, option("Random networks trained beside the picks", "random_baselines")
    ] = None,
    train_epochs: Annotated[
        int | None, option("Epochs that each network is trained for", "train_epochs")
    ] = None,
    batch_size: Annotated[int | None, option("Images per training step", "batch_size")] = None,
    batch: Annotated[int | None, option("Images per inference of the exported networks", "batch")] = None,
    seed: Annotated[int | None, option("Seed of everything random", "seed")] = None,
    tracker: Annotated[
        list[str] | None, option("Also log to tensorboard or mlflow, repeatable; default none")
    ] = None,
    alpha_history: Annotated[
        bool | None, typer.Option("--alpha-history", help="Write alpha_<kind>_history.npy of the cells too.")
    ] = None,
    device: Annotated[str | None, option("Where to train, cpu or cuda", "device")] = None,
    bf16: Annotated[
        bool | None, typer.Option("--bf16", help="Gradient search in bfloat16, with --device cuda.")
    ] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile", help="Gradient search with compiled cells (torch.compile).")
    ] = None,
    workers: Annotated[int | None, option("Training processes; default one per core")] = None,
    minutes: Annotated[float | None, option("Overall limit that the stages share; default none")] = None,
    config: Annotated[Path | None, option("TOML file of these options; options given here win")] = None,
    out: Annotated[Path | None, option("Run directory; default runs/<data>-<target>-<n>")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run.")] = None,
    home: HomeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, print them all, and stop.")
    ] = False,
    quiet: QuietOption = False,
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
    from hwnas.pipeline.preflight import planned_work, preflight
    from hwnas.runs.config import load_config
    from hwnas.runs.log import Log
    from hwnas.runs.run_dir import RunDir, default_path

    if resume and out:
        raise UsageError("--resume goes on in the run it names; leave --out away")
    config, given = load_config(config_file, options)
    preflight(config)
    if dry_run:
        return print_json({"config": config.to_json(), "work": planned_work(config)})
    log = Log(quiet=quiet)
    path = resume or out or default_path(config)
    run_dir = (
        RunDir.open(path, given=given, log=log)
        if resume
        else RunDir.create(path, config, given=given, log=log)
    )
    with resumable(f"hwnas search --resume {path}"), run_dir:
        log(f"run directory {path}")
        from hwnas.pipeline import main_job

        main_job.search(run_dir)
    _show_front(path, as_json)


def _show_front(path: Path, as_json: bool) -> None:
    from hwnas.runs.summary import HEADINGS, front_rows, read_front

    front = read_front(path)
    if as_json:
        return print_json({"run": str(path), "front": front})
    print_table(HEADINGS, front_rows(front))
    print(f"{path / 'front.csv'} has all points, {path / 'report.html'} shows them")
