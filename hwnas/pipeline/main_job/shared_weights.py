"""Stage 4: the shared weights, trained by uniform single paths; searches start from a copy."""

from __future__ import annotations

from safetensors.torch import save

from hwnas.gradient.warmup import Warmup, WarmupSettings, make_supernet
from hwnas.pipeline import stages as steps
from targets.files import write_atomic

from .run_context import Outcome, Work


def train_shared_weights(work: Work) -> Outcome:
    """Write supernet.safetensors."""
    train = work.batches("train", 1, augmented=True)
    settings = WarmupSettings(work.plan["supernet_steps"], train.steps_per_epoch, work.config.seed)
    warmup = Warmup(
        work.space,
        make_supernet(work.space, work.config.seed),
        train,
        settings,
        macs=lambda archs: work.costs.of(archs)["macs"],
        device=work.config.device,
    )
    steps.run(work, "supernet", warmup, settings.steps)
    tensors = {k: v.detach().cpu().contiguous() for k, v in warmup.supernet.state_dict().items()}
    write_atomic(work.path / "supernet.safetensors", save(tensors))
    steps.write_stats(work, warmup.log)
    last = warmup.log[-1]
    work.run.log(f"shared weights: {settings.steps} steps, training accuracy {last['train_accuracy']:.3f}")
    return Outcome({"log": warmup.log}, ("supernet.safetensors",))
