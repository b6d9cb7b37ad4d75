"""How many trainings fit into the memory side by side.

A training holds the activations that its backward pass needs. They grow with the batch and with the square
of the image side: 32 images of 224 px take 2 GB in a network of the `mobile` space, 64 images of 32 px
take 6 GB in the evaluation network of DARTS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from targets.errors import HwnasError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .training_job import TrainingJob

PROCESS_BYTES = 600_000_000
"""A worker's own memory besides what grows with the batch.

390 MB measured; the rest is for small networks, whose steps peak at up to twice what they save. The files of
the libraries take 340 MB more, which all processes share.
"""

PEAK_PER_SAVED = 1.6
"""Peak memory of a step per byte saved for the backward pass; gradients and scratch space come on top of it.

1.33 to 1.54 measured over three steps that save 96 MB to 4 GB: `mobile` at 32 and 224 px, MobileNetV3-small
at 64 and 224 px and DARTS at 32 px, batches of 32 to 256 images.
"""

USABLE_SHARE = 0.9
"""Of the available memory; the rest is for the process that started the workers and for everything else."""

_PROBE_IMAGES = 2  # batch normalisation of maps of one pixel needs two


def affordable_workers(
    jobs: Sequence[TrainingJob], n_workers: int, available: int | None, log: Callable[[str], None]
) -> int:
    """As many workers as the largest of `jobs` fit beside each other, at least 1 and at most `n_workers`.

    `available` is the free memory in bytes; None, where it is unknown, sets no bound. `log` gets a line when
    there are fewer than `n_workers`.
    """
    if n_workers == 1 or available is None:
        return n_workers
    needs = sorted(_estimates(jobs), reverse=True)
    totals = accumulate(needs[:n_workers])
    affordable = max(1, sum(total <= USABLE_SHARE * available for total in totals))
    if affordable < n_workers:
        log(
            f"{affordable} instead of {n_workers} trainings run side by side: one takes up to "
            f"{needs[0] / 1e9:.1f} GB and {available / 1e9:.1f} GB of memory are available; "
            f"smaller batches take less"
        )
    return affordable


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that new processes can take without swapping; None where the system does not say (no Linux).

    The limit of the control group counts too, of version 1 or 2, less what the group holds already.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    for group, limit_name, used_name, cache_name in _CONTROL_GROUPS:
        folder = root / "sys/fs/cgroup" / group
        try:
            limit = int((folder / limit_name).read_text())
            used = int((folder / used_name).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # not this version, or its limit is "max"
            continue
        # Pages of files that were read once go when somebody needs the memory.
        available = min(available, max(0, limit - used + int(stat.get(cache_name, 0))))
    return available


_CONTROL_GROUPS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def training_bytes(job: TrainingJob) -> int:
    """Estimated peak memory of the process that trains `job`.

    A network on another device leaves its activations there; that device's memory is not bounded.
    """
    import torch

    from .build import build_network

    if torch.device(job.device).type != "cpu":
        return PROCESS_BYTES
    shape = job.network.get("space", job.network)
    side = int(shape["image_size"])
    with torch.random.fork_rng(devices=[]):  # new weights and dropout draw from the global generator
        module = build_network(job.network).train()
        images = torch.zeros((_PROBE_IMAGES, int(shape["in_channels"]), side, side))
        saved = saved_bytes(module, images, auxiliary=bool(job.recipe.get("auxiliary")))
    weights = sum(4 * p.numel() for p in module.parameters())
    per_image = PEAK_PER_SAVED * saved / _PROBE_IMAGES
    # Beside gradient and momentum: the average, the best so far and two copies while it is scored; a teacher
    # has its own weights in their file, and keeps no activations.
    copies = 3 + bool(job.recipe.get("ema")) + 3 * bool(job.recipe.get("patience"))
    taught = 0 if job.teacher is None else 2 * Path(job.teacher["file"]).stat().st_size
    return int(PROCESS_BYTES + copies * weights + taught + per_image * int(job.recipe["batch_size"]))


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


def _estimates(jobs: Sequence[TrainingJob]) -> list[int]:
    """Peak bytes per job. A job that cannot be built counts as an empty process: its worker says why."""
    sizes: list[int] = []
    for job in jobs:
        try:
            sizes.append(training_bytes(job))
        except (HwnasError, KeyError, TypeError, ValueError, RuntimeError):
            sizes.append(PROCESS_BYTES)
    return sizes
