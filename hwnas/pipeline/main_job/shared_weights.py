"""The shared weights, trained by uniform single paths; searches start from a copy."""

from __future__ import annotations

from safetensors.torch import save

from hwnas.pipeline.counts import search_batch_size
from hwnas.pipeline.search_history import write_stats
from hwnas.pipeline.stages import Outcome
from hwnas.pipeline.supernet_job import SupernetJob, train_supernet
from hwnas.runs.training_device import require_cards
from targets.files import write_atomic

from .run_context import RunContext, left_out


def train_shared_weights(context: RunContext) -> Outcome:
    """Write supernet.safetensors."""
    if not context.counts.supernet_steps:
        return left_out(context, "no shared weights: nothing in this run needs them (--supernet-steps)")
    config = context.config
    require_cards(config.device, config.gpus)  # a run may be gone on with where there are fewer
    job = SupernetJob(
        space=context.space.spec(),
        data=context.job_data,
        batch_size=search_batch_size(config),
        batch_seed=context.batch_seed(1),
        steps=context.counts.supernet_steps,
        seed=config.seed,
        device=config.device,
        processes=config.gpus or 1,
    )
    weights, log = train_supernet(job, context.data, context.run, "supernet")
    tensors = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
    write_atomic(context.path / "supernet.safetensors", save(tensors))
    write_stats(context.path, log)
    context.run.log(f"shared weights: {job.steps} steps, training accuracy {log[-1]['train_accuracy']:.3f}")
    return Outcome({"log": log}, ("supernet.safetensors",))
