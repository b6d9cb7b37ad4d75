"""What can be known to be wrong before a run directory is made: names, the device, the order of the work."""

from __future__ import annotations

from typing import Any

from targets import load_target
from targets.errors import TargetError, UsageError, did_you_mean

from .runs.config import SearchConfig


def preflight(config: SearchConfig) -> None:
    """Raises UsageError or TargetError for a target, space, method or device that there is not."""
    from .gradient.method_file import find_method
    from .spaces import SPACES

    load_target(config.target)
    find_method(config.method)
    if config.space not in SPACES and not config.space.endswith(".toml"):
        raise UsageError(
            f"unknown space {config.space!r}; {did_you_mean(config.space, SPACES)}, or a TOML file"
        )
    if config.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise TargetError(
                "--device cuda: torch finds no CUDA device here; leave it away to train on the CPU"
            )


def planned_work(config: SearchConfig) -> dict[str, Any]:
    """How much the options ask for; with `minutes` the counts are fitted to the time instead."""
    return {
        "profile_minutes": config.profile_minutes,
        "supernet_steps": config.supernet_steps,
        "search_steps": config.search_steps,
        "evaluations": config.population * config.generations,
        "picks": config.picks,
        "random_baselines": config.random_baselines,
        "train_epochs": config.train_epochs,
        "minutes": config.minutes,
    }
