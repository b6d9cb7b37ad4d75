"""A shrinking whose network, images, target and recipe are known to fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lut
from hwnas.pipeline.spellings import target_named
from hwnas.runs.identity import SHRINKING, Identity
from hwnas.runs.training_device import on_found_device, require_amp
from hwnas.shrinking.coupling import ChannelGroup
from hwnas.shrinking.prune import check_groups
from hwnas.shrinking.sensitivity import widths_of
from hwnas.shrinking.trace import trace
from hwnas.training.recipe import Recipe
from lut.home import data_home
from targets import Target
from targets.errors import TargetError, UsageError
from targets.files import sha256

from .measuring import Costing
from .options import ShrinkOptions
from .sources import ShrinkSource, open_source

if TYPE_CHECKING:
    from torch import nn

RATE_SHARE = 0.25
"""Of the learning rate of a training from scratch: the weights that are left are good already."""


@dataclass(frozen=True, kw_only=True)
class PreparedShrinking:
    """What is shrunk.

    module: the network. groups: its channels that can go. kept: what of it stays whole, in words.
    budgets: in milliseconds; empty for half of what the network takes.
    """

    source: ShrinkSource
    module: nn.Module
    groups: tuple[ChannelGroup, ...]
    kept: tuple[str, ...]
    budgets: tuple[float, ...]
    target: Target
    predictor: lut.DevicePredictor
    home: Path
    recipe: Recipe
    images: int
    seed: int
    device: str

    @property
    def n_widths(self) -> int:
        """Widths of all groups that have to be scored and predicted."""
        return sum(len(widths_of(group.size)) - 1 for group in self.groups)

    def costing(self, log: Callable[[str], None]) -> Costing:
        """The target, as it is asked what networks cost."""
        return Costing(self.target, self.home, self.predictor, self.source.input_shape, log)

    def document(self) -> dict[str, Any]:
        """What would be shrunk, as JSON values."""
        return {
            "name": self.source.name,
            "network": dict(self.source.network),
            "data": self.source.data.name,
            "target": self.target.described,
            "budgets_ms": list(self.budgets) or None,
            "groups": [
                {"name": group.name, "channels": group.size, "widths": widths_of(group.size)}
                for group in self.groups
            ],
            "kept_whole": list(self.kept),
            "recipe": self.recipe.to_json(),
            "images": self.images,
            "seed": self.seed,
        }

    def identity(self) -> Identity:
        """All that decides the result."""
        from safetensors.torch import save

        state = {name: tensor.contiguous().clone() for name, tensor in self.source.state.items()}
        data = self.source.data
        values = {
            **{key: value for key, value in self.document().items() if key not in ("groups", "kept_whole")},
            "weights_sha256": sha256(save(state)),
            "images_sha256": sha256(repr(data.splits_json()).encode()),
        }
        return Identity(kind=SHRINKING, values=values)


def prepare_shrinking(options: ShrinkOptions) -> PreparedShrinking:
    """Check everything that can be wrong before a folder is made."""
    options = on_found_device(options)
    require_amp(options.amp, options.device)
    target, home = target_named(options.target), data_home(options.home)
    if target.precision != "fp32":
        raise TargetError(
            f"target {target.name} runs {target.precision}, and float networks are shrunk; shrink for a "
            "float target, then make the file with `hwnas export RUN/ID --as int8`"
        )
    predictor = lut.load_predictor(target, home)
    source = open_source(options)
    module = source.module()
    traced = trace(module, source.input_shape)
    groups, failed = check_groups(module, traced.groups, source.input_shape)
    if not groups:
        raise UsageError(
            f"{source.name} writes down its numbers of channels in its code, so that no narrower form of it "
            "runs; shrinking needs a network that takes them from its weights"
        )
    kept = [f"channels that {name} reads ({n} times)" for name, n in sorted(traced.unknown.items())]
    return PreparedShrinking(
        source=source,
        module=module,
        groups=tuple(groups),
        kept=(*kept, *(f"channels of {name}" for name in failed)),
        budgets=tuple(options.budgets()),
        target=target,
        predictor=predictor,
        home=home,
        recipe=recipe_for(options, len(source.data.split("train"))),
        images=options.images,
        seed=options.seed,
        device=options.device,
    )


def recipe_for(options: ShrinkOptions, n_train: int) -> Recipe:
    """How a narrower network learns again: from the answers of the whole one, at a part of the usual rate."""
    base = Recipe.for_data(n_train)
    longest = max(base.epochs, Recipe.going_on(n_train).epochs)
    recipe = replace(
        Recipe.going_on(n_train, options.epochs or longest),
        lr=base.lr * RATE_SHARE,
        clip=5.0,
        distil=0.5,
    )
    if options.batch_size is not None:
        recipe = replace(recipe, batch_size=options.batch_size)
    recipe = replace(recipe, batch_size=min(recipe.batch_size, n_train))
    return replace(recipe, **options.recipe_changes())


def names_of(budgets: Sequence[float], name: str) -> list[str]:
    """What the networks are called.

    Digits are as many as tell all budgets apart, four or more.

    >>> names_of([5.0, 2.5], "resnet18")
    ['resnet18-5ms', 'resnet18-2.5ms']
    >>> names_of([0.123451, 0.12345], "resnet18")
    ['resnet18-0.123451ms', 'resnet18-0.12345ms']
    """
    for digits in range(4, 18):  # 17 tell any two floats apart
        names = [f"{name}-{budget:.{digits}g}ms" for budget in budgets]
        if len(set(names)) == len(names):
            break
    return names
