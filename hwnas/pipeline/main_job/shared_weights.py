"""The shared weights, trained by uniform single paths; searches start from a copy."""

from __future__ import annotations

from torch import nn

from hwnas.federated.supernet_rounds import SUPERNET_PARTS, FederatedWarmup, rounds_of
from hwnas.gradient.loop import LogRow
from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.search_history import write_stats
from hwnas.pipeline.stages import Outcome, run_loop
from targets.files import write_atomic

from .run_context import BATCH_SIZE, RunContext, left_out

_FILE = "supernet.safetensors"


def train_shared_weights(context: RunContext) -> Outcome:
    """Write supernet.safetensors."""
    if not context.counts.supernet_steps:
        return left_out(context, "no shared weights: nothing in this run needs them (--supernet-steps)")
    if context.federated is not None:
        return _train_on_parts(context)
    train = context.batches("train", 1, augmented=True)
    settings = WarmupSettings(
        steps=context.counts.supernet_steps, epoch_steps=train.steps_per_epoch, seed=context.config.seed
    )
    warmup = Warmup(
        space=context.space,
        supernet=make_supernet(context.space, context.config.seed),
        train=train,
        settings=settings,
        macs=lambda archs: context.costs.of(archs)["macs"],
        task=context.data.task,
        device=context.config.device,
    )
    run_loop(context.run, "supernet", warmup)
    _write(context, warmup.supernet, warmup.log, f"{settings.steps} steps")
    return Outcome({"log": warmup.log}, (_FILE,))


def _train_on_parts(context: RunContext) -> Outcome:
    """The same by parts of the data, in rounds; the result says which parts were in each."""
    with context.executor() as executor:
        parts, size = context.parts(executor), context.config.batch_size or BATCH_SIZE
        n_rounds = rounds_of(parts, context.counts.supernet_steps, size, context.path)
        warmup = FederatedWarmup(
            parts,
            context.space,
            make_supernet(context.space, context.config.seed),
            n_rounds=n_rounds,
            batch_size=size,
            folder=context.path / "supernet-rounds",
        )
        run_loop(context.run, "supernet", warmup)
    _write(context, warmup.supernet, warmup.log, f"{n_rounds} rounds")
    return Outcome({"log": warmup.log, "rounds": warmup.attendance}, (_FILE, SUPERNET_PARTS))


def _write(context: RunContext, supernet: nn.Module, log: list[LogRow], length: str) -> None:
    write_atomic(context.path / _FILE, safetensors_bytes(supernet))
    write_stats(context.path, log)
    context.run.log(f"shared weights: {length}, training accuracy {log[-1]['train_accuracy']:.3f}")
