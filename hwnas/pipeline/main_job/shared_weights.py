"""The shared weights, trained by uniform single paths; searches start from a copy."""

from __future__ import annotations

from safetensors.torch import save

from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.pipeline.search_history import write_stats
from hwnas.pipeline.stages import Outcome, run_loop
from targets.files import write_atomic

from .run_context import RunContext, left_out


def train_shared_weights(context: RunContext) -> Outcome:
    """Write supernet.safetensors."""
    if not context.counts.supernet_steps:
        return left_out(context, "no shared weights: nothing in this run needs them (--supernet-steps)")
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
    tensors = {k: v.detach().cpu().contiguous() for k, v in warmup.supernet.state_dict().items()}
    write_atomic(context.path / "supernet.safetensors", save(tensors))
    write_stats(context.path, warmup.log)
    last = warmup.log[-1]
    context.run.log(f"shared weights: {settings.steps} steps, training accuracy {last['train_accuracy']:.3f}")
    return Outcome({"log": warmup.log}, ("supernet.safetensors",))
