"""Spellings that users know, and where the images of a name come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.core.names import NAMES, require_name
from targets import Target, load_target
from targets.errors import UsageError
from targets.files import user_path

if TYPE_CHECKING:
    from hwnas.core.network_space import NetworkSpace
    from hwnas.data import Data
    from hwnas.runs.options import DatasetOptions

TARGETS = {"mobile": "android"}
"""Other names of targets. `mobile` is an Android phone over adb, one thread of its CPU."""

NEED_A_PATH = ("imagenet",)
"""Data sets that nobody may hand out: the user has them in a folder."""


def space_name(text: str) -> str:
    """`darts_space` and `darts` are `darts`, `enas_macro_space` is `enas-macro`; else as it is."""
    from hwnas.spaces import SPACES  # here and below: a target is read without torch

    name = text.removesuffix("_space").replace("_", "-")
    return name if name in SPACES else text


def target_named(text: str) -> Target:
    """The device of a name, of one of `TARGETS`, or of a TOML file."""
    return load_target(TARGETS.get(text, text))


def data_spec(dataset: str, path: str | Path | None) -> str:
    """What `load_data` is asked for; UsageError for a data set that there is not, or that needs a path."""
    if path is not None:
        if not user_path(path).exists():
            raise UsageError(f"dataset {dataset!r}: path {str(path)!r} does not exist; {_wanted(dataset)}")
        return str(path)
    if dataset in NEED_A_PATH:
        raise UsageError(f"dataset {dataset!r} cannot be downloaded; {_wanted(dataset)}")
    require_name("data", dataset)
    return dataset


def _wanted(dataset: str) -> str:
    return (
        f"give path= a folder with train/ and val/ in it, one sub-folder of images per class; without a path "
        f"dataset= is one of {', '.join(NAMES['data'].all())}"
    )


def open_data(
    dataset: str,
    path: str | Path | None,
    image_size: int | None,
    seed: int,
    *,
    home: Path,
    limit: int | None,
    download: bool,
    skip_broken: bool = False,
    val_share: float | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Data:
    """The images, split as (seed, limit, val_share) say. labels: `LabelOptions.label_options`."""
    from hwnas.data import load_data

    spec = data_spec(dataset, path)
    return load_data(
        spec,
        image_size,
        seed,
        root=home,
        limit=limit,
        download=download,
        skip_broken=skip_broken,
        val_share=val_share,
        **(labels or {}),
    )


def job_data(
    options: DatasetOptions, data: Data, home: Path, seed: int, labels: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The same images in words, for a training in another process (`TrainingJob.data`)."""
    return {
        "spec": data_spec(options.dataset, options.path),
        "image_size": data.image_size,
        "seed": seed,
        "root": str(home),
        "limit": options.limit,
        **({"skip_broken": True} if options.skip_broken else {}),
        **(labels or {}),
    }


def space_for(name: str, data: Data, **scale: Any) -> NetworkSpace:
    """The space of that name for images and classes of `data`."""
    from hwnas.spaces import load_space

    return load_space(name, **data.network_shape, front=data.front_key, **scale)
