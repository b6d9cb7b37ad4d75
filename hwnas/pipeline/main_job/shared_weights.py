"""The shared weights, trained by uniform single paths; searches start from a copy."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

from hwnas.federated.supernet_rounds import SUPERNET_PARTS, FederatedWarmup, rounds_of
from hwnas.gradient.loop import LogRow
from hwnas.gradient.warmup import make_supernet
from hwnas.pipeline.counts import search_batch_size
from hwnas.pipeline.search_history import write_stats
from hwnas.pipeline.stages import Outcome, run_loop
from hwnas.pipeline.supernet_job import SupernetJob, train_supernet
from hwnas.runs.training_device import require_cards
from targets.files import write_atomic

from .run_context import RunContext, left_out

_FILE = "supernet.safetensors"


def train_shared_weights(context: RunContext) -> Outcome:
    """Write supernet.safetensors."""
    config = context.config
    if not context.counts.supernet_steps:
        return left_out(context, "no shared weights: nothing in this run needs them (--supernet-steps)")
    if context.federated is not None:
        return _train_on_parts(context)
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
    _write(context, weights, log, f"{job.steps} steps")
    return Outcome({"log": log}, (_FILE,))


def _train_on_parts(context: RunContext) -> Outcome:
    """The same by parts of the data, in rounds; the result says which parts were in each."""
    with context.executor() as executor:
        parts, size = context.parts(executor), search_batch_size(context.config)
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
    _write(context, warmup.supernet.state_dict(), warmup.log, f"{n_rounds} rounds")
    return Outcome({"log": warmup.log, "rounds": warmup.attendance}, (_FILE, SUPERNET_PARTS))


def _write(context: RunContext, weights: Mapping[str, Tensor], log: list[LogRow], length: str) -> None:
    write_atomic(context.path / _FILE, save({k: v.detach().cpu().contiguous() for k, v in weights.items()}))
    write_stats(context.path, log)
    context.run.log(f"shared weights: {length}, training accuracy {log[-1]['train_accuracy']:.3f}")
