"""Where networks are trained: `auto`, the CPU, all CUDA devices of this machine, or one of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol, TypeVar

from targets.errors import TargetError, UsageError, did_you_mean

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
MOST_CARDS = 16
DEVICES = (AUTO, CPU, CUDA, *(f"cuda:{i}" for i in range(MOST_CARDS)))
DEVICE_WORDS = f"auto, cpu, cuda or cuda:0 to cuda:{MOST_CARDS - 1}"

_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/nvgpu")
"""One of them is there on a Linux with a driver that torch could use, that of WSL and of Jetsons too."""


class HasDevice(Protocol):
    """Options of a run that trains."""

    @property
    def device(self) -> str:
        """One of `DEVICES`."""
        ...


T = TypeVar("T", bound=HasDevice)


def found_device(name: str) -> str:
    """The device that a name means here: `auto` is cuda where torch finds such a device, else cpu.

    UsageError for a name of no device, TargetError for one that is not here.
    """
    if name not in DEVICES:
        raise UsageError(f"unknown device {name!r}; {did_you_mean(name, DEVICES[:3])}, or a card as cuda:1")
    if name == CPU or (name == AUTO and not has_driver()):
        return CPU
    here = n_cards()
    if name == AUTO:
        return CUDA if here else CPU
    if not here:
        raise TargetError(
            f"--device {name}: torch finds no CUDA device here; leave it away to train on the CPU"
        )
    if name != CUDA and int(name.partition(":")[2]) >= here:
        raise TargetError(f"--device {name}: torch finds {here} CUDA devices here, cuda:0 to cuda:{here - 1}")
    return name


def on_found_device(options: T) -> T:
    """The options with the device that they mean here."""
    found = found_device(options.device)
    if found == options.device:
        return options
    return dataclasses.replace(options, device=found)  # type: ignore[type-var]  # all options are dataclasses


def require_cards(device: str, gpus: int | None) -> None:
    """UsageError for more than one GPU of a training elsewhere, TargetError for more than there are."""
    if gpus is None:
        return
    if device not in (CUDA, AUTO):
        raise UsageError(f"--gpus {gpus} needs --device cuda; a training on {device} is of one process")
    here = n_cards()
    if here == 0:
        raise TargetError(
            f"--gpus {gpus}: torch finds no CUDA device here; leave it away to train on the CPU"
        )
    if gpus > here:
        raise TargetError(f"--gpus {gpus}: torch finds {here} CUDA devices here; give at most as many")


def require_amp(amp: str | None, device: str) -> None:
    """UsageError for fp16 on the CPU, TargetError for bf16 on a GPU without it. device: as it was found."""
    if amp == "fp16" and device == CPU:
        raise UsageError(
            "--amp fp16 is for --device cuda; on the CPU give bf16, which is seldom faster there, or leave "
            "it away"
        )
    if amp == "bf16" and device != CPU:
        import torch

        if not torch.cuda.is_bf16_supported():
            raise TargetError("--amp bf16: this GPU has no bf16; give fp16")


def n_cards() -> int:
    """CUDA devices that torch finds here."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_driver() -> bool:
    """Whether it is worth the second that torch takes to load."""
    return any(Path(path).exists() for path in _DRIVERS) or not Path("/proc").exists()
