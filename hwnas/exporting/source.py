"""What is exported: a float network as an ONNX file, its images, and what an app must know of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hwnas.networks.signature import STATE
from profilers.graph import OnnxGraph, read_graph
from targets.errors import UsageError

from .front_end import file_shape
from .packaging import Packaging

if TYPE_CHECKING:
    from torch import nn

    from hwnas.data import Data


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """A float network and what is known of it.

    name: what the network is called.
    kind: where it comes from, in words for the manifest.
    model: the ONNX file, complete and of fixed shapes.
    data: None where nobody said which images it is for.
    described: how to feed it and read it, as `describe_input` spells it; fewer keys where less is known.
    facts: whatever else is known: architecture, costs, the run that found it.
    build: the trained network in torch, new at each call; None where there is only the file.
    """

    name: str
    kind: str
    model: bytes
    data: Data | None
    described: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[], nn.Module] | None = None

    @property
    def graph(self) -> OnnxGraph:
        """The structure of the network."""
        return read_graph(self.model, self.name)


def check_images_fit(source: ExportSource) -> None:
    """UsageError where the network cannot have been trained on the images: size, channels or classes."""
    data = source.data
    if data is None:
        return
    inputs = {name: tensor for name, tensor in source.graph.inputs.items() if name != STATE}
    if len(inputs) != 1:
        raise UsageError(
            f"{source.name} has {len(inputs)} inputs ({', '.join(inputs)}), and accuracy is of networks with "
            "one, an image; leave out --data to export it without"
        )
    (shape,) = (tensor.shape for tensor in inputs.values())
    wanted = file_shape(data, 1)[1:]
    if tuple(shape[1:]) != wanted:
        raise UsageError(
            f"{source.name} reads {' x '.join(map(str, shape[1:]))} (channels, height, width), the images of "
            f"{data.name} are {' x '.join(map(str, wanted))}; give the images that it was trained on, or "
            "--image-size"
        )
    named = source.described.get("class_names")
    if named is not None and list(named) != list(data.class_names):
        raise UsageError(
            f"the classes of {source.name} are {_few(named)}, those of {data.name} are "
            f"{_few(data.class_names)}; give the images that it was trained on"
        )


def check_classes(source: ExportSource, n_outputs: int) -> None:
    """UsageError where the file answers for another number of classes than there are."""
    names = source.described.get("class_names")
    if names is not None and n_outputs != len(names):
        raise UsageError(
            f"{source.name} answers for {n_outputs} classes, and the list has {len(names)} "
            f"({_few(names)}); give the list or the images that it was trained on"
        )


def check_packaging(source: ExportSource, packaging: Packaging) -> None:
    """UsageError where preprocessing cannot go into the file: it reads no image, or nobody said how."""
    if packaging.layout is None:
        return
    sample = source.described.get("sample")
    if sample is not None:
        raise UsageError(
            f"--with-preprocessing puts that of images into the file, and {source.name} takes a {sample} and "
            "standardises it already; leave it out"
        )
    inputs = source.graph.inputs
    shapes = [tensor.shape for tensor in inputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        raise UsageError(
            f"--with-preprocessing is for networks that read one batch of images, {source.name} reads "
            f"{', '.join(f'{name} {list(t.shape)}' for name, t in inputs.items())}; leave it out"
        )
    if "mean" not in source.described or "std" not in source.described:
        raise UsageError(
            f"{source.name} does not say how its images were normalised; give --mean and --std, or leave out "
            "--with-preprocessing"
        )


def check_aware(source: ExportSource) -> None:
    """UsageError where quantisation-aware training is asked for and cannot be."""
    if source.data is not None and not source.data.task.mixes:
        raise UsageError(
            f"--qat trains classifiers, and {source.name} learned {source.data.task.name}; leave it out"
        )
    if source.build is None:
        raise UsageError(
            f"--qat trains a network with 8 bits in mind, and of {source.kind} only the file is known; it "
            "needs a run, a folder of `hwnas train`, or a genotype with --weights"
        )


def _few(names: Any) -> str:
    shown = ", ".join(map(str, list(names)[:5]))
    return f"{shown}, … ({len(names)})" if len(names) > 5 else shown
