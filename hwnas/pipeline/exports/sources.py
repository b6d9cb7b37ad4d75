"""What the user names as a source: a run, a folder of `hwnas train`, a genotype, an ONNX file."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.data import Data, load_data
from hwnas.exporting.export import CARRIED, describe_input, network_file, open_model
from hwnas.exporting.front_end import file_shape
from hwnas.exporting.onnx_score import HEADS
from hwnas.exporting.reshape import without_flatten
from hwnas.exporting.source import ExportSource, check_classes, check_images_fit
from hwnas.genotype import read_genotype
from hwnas.pipeline.scores import scored
from hwnas.pipeline.spellings import space_for, space_name
from hwnas.runs.front_file import FRONT_JSON, read_front
from hwnas.runs.identity import SEARCH, SHRINKING, TRAINING, is_run, read_identity
from hwnas.runs.log import Log
from hwnas.runs.search_run import stored_config
from hwnas.training.known import is_of_library
from hwnas.training.training_job import data_of
from lut.home import data_home
from lut.predictor.models.input_metadata import fixed
from lut.predictor.models.input_shapes import parse_shapes
from lut.predictor.models.model_file import read_model
from profilers.graph import read_graph
from targets.checksummed import read_checksummed
from targets.errors import DamagedFileError, UsageError, did_you_mean
from targets.files import read_json, safe_name, user_path

from .images import given_normalisation, image_size_of, images_named, with_normalisation
from .metadata import metadata_of
from .options import ExportOptions

if TYPE_CHECKING:
    from torch import nn

_OPEN = (
    "a run of `hwnas search` or `hwnas shrink`, RUN/ID of one, a folder of `hwnas train`, an ONNX file, or a "
    "genotype, torchvision:NAME or timm:NAME with --weights"
)


def open_source(options: ExportOptions, log: Log) -> ExportSource:
    """The network that the options name; UsageError for what is none, with what could be."""
    place = user_path(options.source)
    for kind in _KINDS:
        if kind.matches(place, options):
            source = kind.read(place, options, log)
            check_images_fit(source)
            return source
    if place.exists():
        raise UsageError(f"{place} is nothing that can be exported; give {_OPEN}")
    raise UsageError(
        f"{options.source!r} is no file or folder here, and a genotype needs --weights; give {_OPEN}"
    )


def _owner(place: Path) -> tuple[Path, str | None] | None:
    """(the run, the id of a network in it) that RUN, RUN/ID and RUN/models/ID name."""
    if place.is_dir() and is_run(place):
        return place, None
    for run in (place.parent, place.parent.parent):
        if run.is_dir() and is_run(run) and (run == place.parent or place.parent.name == "models"):
            return run, place.name
    return None


def _is_of(kind: str) -> Callable[[Path, ExportOptions], bool]:
    def matches(place: Path, options: ExportOptions) -> bool:
        owner = _owner(place)
        return owner is not None and read_identity(owner[0]).kind == kind

    return matches


def _pick(place: Path, options: ExportOptions, log: Log) -> ExportSource:
    owner = _owner(place)
    assert owner is not None  # it matched
    run, arch_id = owner
    _refuse(options, "a run", "data", "labels", "mean", "std", "shape", "weights")
    front = read_front(run) if arch_id is None else None
    arch_id = str(front["chosen"]) if front else str(arch_id)
    known = sorted(path.parent.name for path in (run / "models").glob("*/manifest.json"))
    if arch_id not in known:
        raise UsageError(
            f"{run} has no exported network {arch_id!r}; "
            + (did_you_mean(arch_id, known) if known else "it has none yet: go on with the search first")
        )
    config = stored_config(read_identity(run), run)
    splits = run / "splits.json"
    data = load_data(
        config.data,
        config.image_size,
        config.seed,
        root=data_home(options.home or config.home),
        **config.label_options,
        splits=read_json(splits, "the splits of the run"),
        log=log,
    )
    source = _of_folder(run / "models" / arch_id, scored(data, config), f"network {arch_id} of a search")
    repeats = (read_front(run) if (run / FRONT_JSON).exists() else {}).get("repeats") or {}
    if repeats.get("arch_id") != arch_id:
        return source
    return dataclasses.replace(source, facts={**source.facts, "repeats": repeats})


def _training(place: Path, options: ExportOptions, log: Log) -> ExportSource:
    _refuse(options, "a training", "data", "labels", "mean", "std", "shape", "weights")
    owner = _owner(place)
    assert owner is not None  # it matched
    run = owner[0]
    results = sorted(run.glob("*/result.json"))
    if not results or not (results[0].parent / "model" / "manifest.json").is_file():
        raise UsageError(
            f"the training in {run} is not at its end; the command that began it goes on with it"
        )
    job = read_checksummed(results[0], "training result")["job"]
    spec = {**job["data"], **({"root": options.home} if options.home else {})}
    return _of_folder(results[0].parent / "model", data_of(spec), "a training")


def _shrunk(place: Path, options: ExportOptions, log: Log) -> ExportSource:
    owner = _owner(place)
    assert owner is not None  # it matched
    run, name = owner
    _refuse(options, "a shrunk network", "data", "labels", "mean", "std", "shape", "weights")
    name = name or str(read_front(run)["chosen"])
    known = sorted(path.parent.name for path in (run / "models").glob("*/manifest.json"))
    if name not in known:
        raise UsageError(
            f"{run} has no network {name!r}; "
            + (did_you_mean(name, known) if known else "it has none yet: go on with its command first")
        )
    images = read_json(run / "source.json", "the source of the run")["images"]
    spec = {**images, **({"root": options.home} if options.home else {})}
    return _of_folder(run / "models" / name, data_of(spec), "a shrunk network")


def _of_folder(folder: Path, data: Data, kind: str) -> ExportSource:
    """A model folder that hwnas wrote; its files are checked against the manifest."""
    exported = open_model(folder)
    manifest = exported.manifest
    # A manifest of an older version has no task.
    named = (*describe_input(data, manifest["input_shape"]), CARRIED, HEADS)
    described = {k: manifest[k] for k in named if k in manifest}
    known = ("arch_id", "network", "blocks", "pick", "ptflops")
    facts: dict[str, Any] = {k: manifest[k] for k in known if k in manifest}
    return ExportSource(
        name=str(manifest["arch_id"]),
        kind=kind,
        model=without_flatten(exported.onnx.read_bytes()),
        data=data,
        described=described,
        facts=facts,
        build=partial(_built, manifest["network"], exported.weights),
    )


def _built(network: Mapping[str, Any], weights: Path) -> nn.Module:
    """The network that hwnas exported, with its weights."""
    from safetensors.torch import load

    from hwnas.training.build import build_network

    module = build_network(network)
    module.load_state_dict(load(weights.read_bytes()), strict=False)  # an auxiliary classifier is left out
    return module


def _onnx_file(place: Path, options: ExportOptions, log: Log) -> ExportSource:
    _refuse(options, "an ONNX file", "weights")
    model = without_flatten(fixed(read_model(place, parse_shapes(options.shape))))
    graph = read_graph(model, str(place))
    if not graph.inputs or not graph.outputs:
        raise UsageError(f"{place} has no {'output' if graph.inputs else 'input'}; export a network that has")
    tensor = next(iter(graph.inputs.values()))
    described = {
        **metadata_of(model),
        "input_name": next(iter(graph.inputs)),
        "input_shape": list(tensor.shape),
        "output_name": graph.outputs[0],
    }
    described |= given_normalisation(options)
    source = ExportSource(
        name=safe_name(place.stem), kind="an ONNX file", model=model, data=None, described=described
    )
    if options.data is not None:
        data = images_named(options, image_size_of(graph, options))
        check_images_fit(dataclasses.replace(source, data=data))
        data = with_normalisation(data, described, options, log)
        known = describe_input(data, [int(size or 1) for size in tensor.shape])
        normalisation = {"mean": list(data.mean), "std": list(data.std)}
        source = dataclasses.replace(source, data=data, described={**known, **described, **normalisation})
    check_classes(source, _n_outputs(model))
    return source


def _n_outputs(model: bytes) -> int:
    """Numbers that the first output has for each image."""
    from hwnas.exporting.onnx_score import open_session

    shape = open_session(model).get_outputs()[0].shape
    return int(shape[-1]) if shape and isinstance(shape[-1], int) else 1


def _genotype(place: Path, options: ExportOptions, log: Log) -> ExportSource:
    import safetensors.torch

    _refuse(options, "a genotype", "mean", "std", "shape")
    if options.data is None:
        raise UsageError(
            "a genotype becomes a network for some images; give those of its training with --data"
        )
    data = images_named(options, options.image_size)
    space = space_for(space_name(options.space), data, cells=options.cells, channels=options.channels)
    text = place.read_text(encoding="utf-8") if place.is_file() else options.source
    arch = space.canonical(read_genotype(space, text))
    module = space.build(arch)
    weights = user_path(str(options.weights))
    try:
        module.load_state_dict(safetensors.torch.load(weights.read_bytes()))
    except OSError as error:
        raise UsageError(f"--weights {weights}: {error.strerror}; give a safetensors file") from None
    except Exception as error:  # safetensors and torch have errors of their own
        raise DamagedFileError(
            f"--weights {weights} are not those of this network in space {space.name}: "
            f"{str(error).splitlines()[0]} Give --cells, --channels and --image-size as it was trained with"
        ) from None
    shape = file_shape(data, 1)
    described = describe_input(data, shape)
    return ExportSource(
        name=space.arch_id(arch),
        kind=f"an architecture of space {space.name}",
        model=network_file(module, data, 1, _strings(described, space.arch_id(arch))),
        data=data,
        described=described,
        facts={"network": {"space": space.spec(), "arch": space.to_string(arch)}},
        build=partial(copy.deepcopy, module),
    )


def _of_library(place: Path, options: ExportOptions, log: Log) -> ExportSource:
    """A network of torchvision or timm, whose weights come from a file: nothing is fetched."""
    from hwnas.training.build import build_network
    from hwnas.training.known import require_trained
    from hwnas.training.state_file import read_state, with_state

    _refuse(options, "a network of a library", "shape")
    require_trained(options.source, weights=options.weights, data=options.data)
    data = with_normalisation(
        images_named(options, options.image_size), given_normalisation(options), options, log
    )
    network = {"model": options.source, "n_classes": data.n_classes, "in_channels": data.in_channels}
    name = safe_name(options.source.partition(":")[2])
    state = read_state(user_path(str(options.weights)))
    module = with_state(build_network(network), state, name)
    described = describe_input(data, file_shape(data, 1))
    return ExportSource(
        name=name,
        kind=f"a network of {options.source.partition(':')[0]}",
        model=network_file(module, data, 1, _strings(described, name)),
        data=data,
        described=described,
        facts={"network": network},
        build=partial(copy.deepcopy, module),
    )


def _strings(described: Mapping[str, Any], name: str) -> dict[str, str]:
    """As the metadata of a file."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in described.items()}
    return {**texts, "arch_id": name}


@dataclass(frozen=True, slots=True)
class SourceKind:
    """matches: whether the source is one. read: opens it."""

    matches: Callable[[Path, ExportOptions], bool]
    read: Callable[[Path, ExportOptions, Log], ExportSource]


_KINDS = (
    SourceKind(_is_of(SEARCH), _pick),
    SourceKind(_is_of(TRAINING), _training),
    SourceKind(_is_of(SHRINKING), _shrunk),
    SourceKind(lambda place, options: is_of_library(options.source), _of_library),
    SourceKind(lambda place, options: options.weights is not None, _genotype),
    SourceKind(lambda place, options: place.is_file(), _onnx_file),
)
"""In this order."""


def _refuse(options: ExportOptions, what: str, *names: str) -> None:
    """UsageError for options that the source answers itself."""
    refused = [name for name in names if getattr(options, name)]
    if refused:
        raise UsageError(f"{what} says itself what --{refused[0]} would say; leave it out")
