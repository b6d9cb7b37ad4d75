"""What is shrunk: a network that was trained here, or one of torchvision or timm with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwnas.pipeline.earlier_training import earlier_training, images_of
from hwnas.pipeline.spellings import data_spec, open_data
from hwnas.training.build import build_network
from hwnas.training.known import is_of_library, require_trained
from hwnas.training.state_file import read_state, with_state
from hwnas.training.training_job import data_of
from lut.home import data_home
from targets.errors import UsageError
from targets.files import safe_name, user_path

from .options import ShrinkOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwnas.data import Data

_KNOWN = (
    "a folder of `hwnas train`, RUN/ID of a search, or torchvision:NAME or timm:NAME with --weights and "
    "--data"
)


@dataclass(frozen=True, kw_only=True)
class ShrinkSource:
    """A trained network.

    network: what `build_network` reads. state: its weights. images: its data, as `TrainingJob.data` has them.
    """

    name: str
    network: Mapping[str, Any]
    state: Mapping[str, Tensor]
    images: Mapping[str, Any]
    data: Data

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a sample."""
        return self.data.sample_shape

    def module(self) -> nn.Module:
        """The network with its weights, in eval mode."""
        return with_state(build_network(self.network), self.state, self.name)


def open_source(options: ShrinkOptions) -> ShrinkSource:
    """The network that the options name; UsageError for what is none, with what could be."""
    source = _of_library(options) if is_of_library(options.source) else _trained_here(options)
    if not source.data.task.mixes:
        raise UsageError(
            f"{source.name} learned {source.data.task.name}, and only networks that learn classes are shrunk"
        )
    return source


def _trained_here(options: ShrinkOptions) -> ShrinkSource:
    place = user_path(options.source)
    if place.is_file():
        if place.suffix not in _WEIGHTS:
            what = "an ONNX file, which cannot learn again" if place.suffix == ".onnx" else "no network"
            raise UsageError(f"{place} is {what}; shrinking takes {_KNOWN}")
        raise UsageError(
            f"{place} is weights without the network that they are of; name it beside them, as `hwnas shrink "
            f"torchvision:mobilenet_v2 --weights {place} --data IMAGES`; shrinking takes {_KNOWN}"
        )
    for name in ("dataset", "weights", "image_size", "limit", "download", "skip_broken"):
        if getattr(options, name) not in (None, False):
            flag = "data" if name == "dataset" else name.replace("_", "-")
            raise UsageError(f"what was trained here says itself what --{flag} would say; leave it out")
    if not place.exists() and not place.parent.exists():
        raise UsageError(f"{options.source!r} is no network; give {_KNOWN}")
    trained = earlier_training(place)
    network = {key: value for key, value in trained.job.network.items() if key != "auxiliary"}
    images = images_of(trained) | ({"root": str(options.home)} if options.home else {})
    state = {k: v for k, v in trained.weights().items() if not k.startswith("auxiliary.")}
    return ShrinkSource(
        name=safe_name(trained.job.job_id),
        network=network,
        state=state,
        images=images,
        data=data_of(images),
    )


_WEIGHTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")


def _of_library(options: ShrinkOptions) -> ShrinkSource:
    require_trained(options.source, weights=options.weights, data=options.dataset)
    assert options.weights is not None and options.dataset is not None
    home = data_home(options.home)
    data = open_data(
        options.dataset, options.path, options.image_size, options.seed,
        home=home, limit=options.limit, download=options.download, skip_broken=options.skip_broken,
    )  # fmt: skip
    images = {
        "spec": data_spec(options.dataset, options.path),
        "image_size": data.image_size,
        "seed": options.seed,
        "root": str(home),
        "limit": options.limit,
        **({"skip_broken": True} if options.skip_broken else {}),
    }
    return ShrinkSource(
        name=safe_name(options.source.partition(":")[2]),
        network={"model": options.source, "n_classes": data.n_classes, "in_channels": data.in_channels},
        state=read_state(user_path(options.weights)),
        images=images,
        data=data,
    )
