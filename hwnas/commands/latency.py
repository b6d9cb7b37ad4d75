"""`hwnas predict` and `hwnas bench`: what ONNX files cost on devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from targets.errors import UsageError

from .options import (
    CsvOption,
    HomeOption,
    InputOption,
    JsonOption,
    ModelsArgument,
    ShapeOption,
    SortOption,
    load_targets,
    option,
    output_file,
)
from .output import print_csv, print_json, print_table, say

if TYPE_CHECKING:
    from hwnas.commands.documents.model_files import ModelFiles
    from hwnas.commands.documents.model_table import Row


def predict(
    models: ModelsArgument,
    target: Annotated[
        list[str] | None,
        option("Device to predict for, a name or a TOML file, repeatable", "target"),
    ] = None,
    breakdown: Annotated[
        bool, typer.Option("--breakdown", help="Show every layer, the costliest first.")
    ] = False,
    html: Annotated[
        Path | None, output_file("--html", "Write a page of the layers; it opens without a network")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run the networks on the device too, and show both.")
    ] = False,
    kernels_from: Annotated[
        str,
        typer.Option(help="Which kernels a network becomes: ask the `target`, by `layout rule`, or auto."),
    ] = "auto",
    sort: SortOption = None,
    shape: ShapeOption = None,
    input_: InputOption = None,
    home: HomeOption = None,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what ONNX files cost on a device that `hwnas profile` has characterised, without running them long.

    \b
    Examples:
      hwnas predict model.onnx
      hwnas predict models/ --sort latency_ms --csv > costs.csv
      hwnas predict model.onnx --target board.toml --breakdown
      hwnas predict models/ --target host --target board.toml --html costs.html
      hwnas predict model.onnx --shape input=1,3,224,224 --measure --html model.html
      hwnas predict model.onnx --input sample_rate=16000 --input tokens.npz

    A file that fails is named, and the others go on. An open batch axis is taken as 1.
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.commands.documents import predict as documents
    from hwnas.runs.log import Log
    from lut.home import data_home

    _check_forms(as_csv, as_json)
    targets, files, log = load_targets(target), _files(models, shape, input_), Log()
    with log.progress("predict", len(files) * len(targets)) as bar:
        answers = documents.predict_models(
            targets,
            files,
            home=data_home(home),
            kernels_from=kernels_from,
            measure=measure,
            log=log,
            advance=bar.advance,
        )
    _raise_only_failure(answers)
    tables = _tables(answers, documents.prediction_rows, documents.LATENCY, sort)
    if html is not None:
        from hwnas.report.breakdown import breakdown_page
        from targets.files import write_atomic

        write_atomic(html, breakdown_page(*answers))
        say(f"wrote {html}")
    for answer in () if as_json else answers:
        _say_lines(documents.prediction_warnings(answer), documents.prediction_notes(answer))
    if as_json:
        print_json(_joined(answers))
    elif as_csv:
        print_csv(_long(tables))
    elif any(tables.values()):  # else each failure has its line, and there is nothing to show
        _print_tables(tables, documents.LATENCY, documents.FLAG)
        for answer in answers if breakdown else ():
            for name, model in answer["models"].items():
                print(f"\n{name}" + (f" on {answer['target']['name']}" if len(answers) > 1 else ""))
                print_table(*documents.layer_table(model))
        _print_conditions(answers, documents.profiled_line)
    _end(answers)


def bench(
    models: ModelsArgument,
    target: Annotated[
        list[str] | None, option("Device to measure on, a name or a TOML file, repeatable", "target")
    ] = None,
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
    sort: SortOption = None,
    shape: ShapeOption = None,
    input_: InputOption = None,
    home: HomeOption = None,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure ONNX files: latency side by side in one fresh process, memory in processes of their own.

    \b
    Examples:
      hwnas bench model.onnx
      hwnas bench models/ --no-memory --sort p50_ms
      hwnas bench a.onnx b.onnx --target host --target board.toml --csv

    A file that fails is named, and the others go on. An open batch axis is taken as 1. On a target of
    precision int8, float networks are quantised first.
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.commands.documents import bench as documents
    from hwnas.runs.log import Log
    from lut.home import data_home

    _check_forms(as_csv, as_json)
    targets, files, log = load_targets(target), _files(models, shape, input_), Log()
    answers = []
    for device in targets:
        wants_memory = device.reach.transport != "adb" if memory is None else memory
        resources = [kind for kind, wanted in (("memory", wants_memory), ("energy", energy)) if wanted]
        answers.append(
            documents.bench_models(device, files, home=data_home(home), log=log, resources=resources)
        )
    _raise_only_failure(answers)
    print_bench(answers, sort=sort, as_csv=as_csv, as_json=as_json)
    _end(answers)


def print_bench(
    answers: Sequence[dict[str, Any]],
    *,
    sort: str | None = None,
    as_csv: bool = False,
    as_json: bool = False,
) -> None:
    """What was measured on each target, with its conditions."""
    from hwnas.commands.documents import bench as documents

    if as_json:
        return print_json(_joined(answers))
    tables = _tables(answers, documents.bench_rows, documents.LATENCY, sort)
    for answer in answers:
        _say_lines(documents.bench_warnings(answer), documents.bench_notes(answer))
    if as_csv:
        return print_csv(_long(tables))
    if not any(tables.values()):
        return None
    _print_tables(tables, documents.LATENCY, documents.FLAG)
    for answer in answers:
        if line := documents.int8_line(answer):
            print(line)
    return _print_conditions(answers, lambda answer: str(answer["date"]))


Tables = dict[str, "list[Row]"]
"""Rows by target."""


def _files(models: list[Path], shape: list[str] | None, values: list[str] | None) -> ModelFiles:
    from hwnas.commands.documents.model_files import ModelFiles, find_models
    from lut.predictor.models.input_shapes import parse_shapes
    from lut.predictor.models.input_values import parse_inputs

    return ModelFiles(find_models(models, say), parse_shapes(shape or []), parse_inputs(values or []))


def _say_lines(warnings: Sequence[str], notes: Sequence[str]) -> None:
    for line in warnings:
        say(f"warning: {line}")
    for line in notes:
        say(f"note: {line}")


def _check_forms(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise UsageError("--csv and --json are two forms of the same; give one of them")


def _tables(
    answers: Sequence[dict[str, Any]],
    rows: Callable[[dict[str, Any]], list[Row]],
    latency: str,
    sort: str | None,
) -> Tables:
    from hwnas.commands.documents.model_table import compared

    return {answer["target"]["name"]: compared(rows(answer), latency, sort) for answer in answers}


def _print_tables(tables: Tables, latency: str, flag: str) -> None:
    """One target in full, several side by side."""
    from hwnas.commands.documents.model_table import crossed, table_of

    if len(tables) == 1:
        return print_table(*table_of(*tables.values()))
    print_table(*crossed(tables, latency, flag))
    flags = {row[flag] for rows in tables.values() for row in rows} - {"ok"}
    return print(f"* {'; '.join(sorted(flags))}") if flags else None


def _print_conditions(answers: Sequence[dict[str, Any]], more: Callable[[dict[str, Any]], str]) -> None:
    from hwnas.commands.documents.bench import conditions_line

    for answer in answers:
        print(f"{conditions_line(answer)}; {more(answer)}")


def _long(tables: Tables) -> list[Row]:
    """All rows, each with its target."""
    return [{"target": name, **row} for name, rows in tables.items() for row in rows]


def _joined(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One document, whose `targets` are those of several targets."""
    return answers[0] if len(answers) == 1 else {"targets": list(answers)}


def _raise_only_failure(answers: Sequence[dict[str, Any]]) -> None:
    """Where one file was asked for and failed, its error is that of the command."""
    failed = {name for answer in answers for name in answer["failed"]}
    if len(failed) == 1 and not any(answer["models"] for answer in answers):
        _end(answers)


def _end(answers: Sequence[dict[str, Any]]) -> None:
    """Name the files that failed; the exit code is theirs."""
    from hwnas.commands.documents.model_files import exit_code_of

    failed = {name: entry for answer in reversed(answers) for name, entry in answer["failed"].items()}
    for entry in failed.values():
        say(f"error: {entry['error']}")
    if failed:
        raise typer.Exit(exit_code_of([entry["exit_code"] for entry in failed.values()]))
