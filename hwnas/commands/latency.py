"""`hwnas predict` and `hwnas bench`: what ONNX files cost on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DEFAULTS, HomeOption, InputOption, JsonOption, ModelsArgument, ShapeOption, option
from .output import print_json, print_table, say


def _read_models(models: list[Path], shape: list[str] | None, values: list[str] | None) -> dict[str, bytes]:
    from lut.predictor.models.input_values import parse_inputs
    from lut.predictor.models.model_file import parse_shapes, read_models

    return read_models(models, parse_shapes(shape or []), parse_inputs(values or []))


def predict(
    models: ModelsArgument,
    target: Annotated[
        str, option("Device to predict for, a name or a TOML file", "target")
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
    input_: InputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what ONNX files cost on a device that `hwnas profile` has characterised, without running them long.

    \b
    Examples:
      hwnas predict model.onnx
      hwnas predict model.onnx --target board.toml --breakdown
      hwnas predict model.onnx --shape input=1,3,224,224 --measure --html model.html
      hwnas predict model.onnx --input sample_rate=16000 --input tokens.npz
    """  # noqa: D301  (\b, the character, keeps the lines of the examples)
    from hwnas.commands.documents.predict import predict_models
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    document = predict_models(
        load_target(target),
        _read_models(models, shape, input_),
        home=data_home(home),
        kernels_from=kernels_from,
        measure=measure,
        log=Log(),
    )
    if html is not None:
        from hwnas.report.breakdown import breakdown_page
        from targets.files import write_atomic

        write_atomic(html, breakdown_page(document))
        say(f"wrote {html}")
    if as_json:
        return print_json(document)
    from hwnas.commands.documents.bench import conditions_line
    from hwnas.commands.documents.predict import (
        layer_table,
        prediction_notes,
        prediction_table,
        prediction_warnings,
        profiled_line,
    )

    for line in prediction_warnings(document):
        say(f"warning: {line}")
    for line in prediction_notes(document):
        say(f"note: {line}")
    print_table(*prediction_table(document))
    for name, model in document["models"].items() if breakdown else ():
        print(f"\n{name}")
        print_table(*layer_table(model))
    print(f"{profiled_line(document)}; {conditions_line(document)}")
    return None


def bench(
    models: ModelsArgument,
    target: Annotated[str, option("Device to measure on, a name or a TOML file", "target")] = DEFAULTS.target,
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
    input_: InputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure ONNX files: latency side by side in one fresh process, memory in processes of their own.

    On a target of precision int8, float networks are quantised first.
    """
    from hwnas.commands.documents.bench import bench_models
    from hwnas.runs.log import Log
    from lut.home import data_home
    from targets import load_target

    device = load_target(target)
    wants_memory = device.reach.transport != "adb" if memory is None else memory
    resources = [kind for kind, wanted in (("memory", wants_memory), ("energy", energy)) if wanted]
    files = _read_models(models, shape, input_)
    print_bench(bench_models(device, files, home=data_home(home), log=Log(), resources=resources), as_json)


def print_bench(document: dict[str, Any], as_json: bool) -> None:
    """What was measured, with its conditions."""
    from hwnas.commands.documents.bench import bench_table, bench_warnings, conditions_line, int8_line

    if as_json:
        return print_json(document)
    for line in bench_warnings(document):
        say(f"warning: {line}")
    print_table(*bench_table(document))
    if line := int8_line(document):
        print(line)
    print(f"{document['date']}, {conditions_line(document)}")
