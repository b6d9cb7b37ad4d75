"""How much memory a training takes.

A training holds the activations that its backward pass needs. They grow with the batch and with the square
of the image side: 32 images of 224 px take 2 GB in a network of the `mobile` space, 64 images of 32 px
take 6 GB in the evaluation network of DARTS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.executors.cards import CONTEXT_BYTES
from hwnas.executors.memory import PROCESS_BYTES
from targets.errors import HwnasError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .training_job import TrainingJob

PEAK_PER_SAVED = 1.6
"""Peak memory of a step per byte saved for the backward pass; gradients and scratch space come on top of it.

1.33 to 1.54 measured over three steps that save 96 MB to 4 GB: `mobile` at 32 and 224 px, MobileNetV3-small
at 64 and 224 px and DARTS at 32 px, batches of 32 to 256 images.
"""

_PROBE_IMAGES = 2  # batch normalisation of maps of one pixel needs two


def training_bytes(job: TrainingJob) -> int:
    """Estimated peak memory of the process that trains `job`; a network on another device is held there."""
    return PROCESS_BYTES + (0 if _is_elsewhere(job) else _network_bytes(job))


def device_bytes(job: TrainingJob) -> int:
    """Estimated peak memory that it takes of a CUDA device; 0 where it takes none."""
    return CONTEXT_BYTES + _network_bytes(job) if _is_elsewhere(job) else 0


def _is_elsewhere(job: TrainingJob) -> bool:
    return not job.device.startswith("cpu")


def _network_bytes(job: TrainingJob) -> int:
    """Weights, what is kept of them, and activations."""
    import torch

    from hwnas.networks.conv import sides
    from hwnas.networks.signature import example_of

    from .build import build_network

    shape = job.network.get("space", job.network)
    height, side = sides(int(shape["image_size"]), int(shape.get("dims", 2)))
    with torch.random.fork_rng(devices=[]):  # new weights and dropout draw from the global generator
        module = build_network(job.network).train()
        samples = example_of(module, (_PROBE_IMAGES, int(shape["in_channels"]), height, side))
        saved = saved_bytes(module, samples, auxiliary=bool(job.recipe.get("auxiliary")))
    weights = sum(4 * p.numel() for p in module.parameters())
    per_image = PEAK_PER_SAVED * saved / _PROBE_IMAGES
    # Beside gradient and momentum: the average, the best so far and two copies while it is scored; a teacher
    # has its own weights in their file, and keeps no activations.
    copies = 3 + bool(job.recipe.get("ema")) + 3 * bool(job.recipe.get("patience"))
    taught = 0 if job.teacher is None else 2 * Path(job.teacher["file"]).stat().st_size
    return int(copies * weights + taught + per_image * int(job.recipe["batch_size"]))


def saved_bytes(module: nn.Module, images: torch.Tensor, *, auxiliary: bool = False) -> int:
    """Bytes that autograd keeps after a forward pass of `images` (b, c, h, w), parameters not counted."""
    import torch

    from hwnas.networks.cells import CellNetwork

    held = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    storages: dict[int, torch.UntypedStorage] = {}  # kept alive, so that no address comes twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        if auxiliary and isinstance(module, CellNetwork):
            module.forward_both(images)
        else:
            module(images)
    return sum(storage.nbytes() for storage in storages.values())


def task_bytes(job: TrainingJob, of: Callable[[TrainingJob], int] = training_bytes) -> int:
    """The same; a job that cannot be built counts as an empty process: whoever trains it says why.

    of: `training_bytes` or `device_bytes`.
    """
    try:
        return of(job)
    except (HwnasError, KeyError, TypeError, ValueError, RuntimeError):
        return PROCESS_BYTES
