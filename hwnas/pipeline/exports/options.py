"""The options of `hwnas export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval, Len

from hwnas.runs.checks import require_allowed
from hwnas.runs.definition import Named, Option
from hwnas.runs.options import (
    CellOptions,
    DatasetPlaceOptions,
    Device,
    FolderOptions,
    Images,
    Place,
    Text,
)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(DatasetPlaceOptions, CellOptions, FolderOptions):
    """What is exported, into which files, for which device.

    source: a run or one of its networks, a folder of `hwnas train`, an ONNX file, a genotype, or a network of
        torchvision or timm.
    """

    source: Text
    variants: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option(
            "Files to write, of fp32, fp16, int8, ort, separated by commas; default what suits the target",
            repeated="as",
        ),
    ] = ()
    target: Annotated[Device, Option("Device that the files are for, a name or a TOML file")] = "host"
    max_drop: Annotated[
        Annotated[float, Interval(ge=0, le=1)],
        Option("Validation accuracy that a file may lose against fp32"),
    ] = 0.01
    qat: Annotated[
        bool,
        Option("Train up to two epochs with 8 bits in mind where int8 would lose more than --max-drop"),
    ] = False
    with_preprocessing: Annotated[
        Text | None,
        Option(
            "Put scaling and normalisation into the files, which then take pixels 0 to 255: nhwc or nchw; "
            "default the app does it"
        ),
    ] = None
    licence: Annotated[Text | None, Option("Licence of the network, for its card; default not stated")] = None
    softmax: Annotated[bool, Option("End with a softmax, so that answers are probabilities")] = False
    data: Annotated[
        Images | None,
        Option(
            "Images of an ONNX file, a genotype or a network of a library: a folder, a zip, or a known set"
        ),
    ] = None
    labels: Annotated[
        Text | None, Option("CSV of file names and labels, where --data has no class folders")
    ] = None
    mean: Annotated[
        Text | None,
        Option("Mean of each channel in 0..1 that the network was trained with, as 0.485,0.456,0.406"),
    ] = None
    std: Annotated[Text | None, Option("Standard deviation of each channel, likewise")] = None
    shape: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option("Sizes of an open input of an ONNX file, NAME=1,3,224,224, repeatable", repeated="shape"),
    ] = ()
    space: Annotated[Text, Named("space"), Option("Search space of a genotype")] = "darts"
    weights: Annotated[
        Place,
        Option("Weights of a genotype, a safetensors file; of a library's network also a state_dict as .pt"),
    ] = None
    seed: Annotated[Annotated[int, Interval(ge=0, le=2**32 - 1)], Option("Seed of the split of --data")] = 0

    def __post_init__(self) -> None:
        require_allowed(self)
