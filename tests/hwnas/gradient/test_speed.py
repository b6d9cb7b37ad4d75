"""What makes a search faster gives the same search, or is refused where it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hwnas.core.mix import Mix
from hwnas.costs.cost_model import CostModel
from hwnas.gradient.methods import METHODS
from hwnas.gradient.search import GradientSearch
from hwnas.gradient.settings import SearchSettings
from hwnas.gradient.speed import cpp_compiler, require_speed
from hwnas.gradient.stage_supernets import stage_supernets
from hwnas.gradient.step.passes import run_mix, use_bf16
from hwnas.spaces import load_space
from hwnas.spaces.cells import CellSpace
from targets.errors import UsageError

SMALL = """
space = "darts"
operations = ["none", "skip_connect", "dil_conv_5x5"]
nodes = 2
search = { cells = 1, channels = 4 }
deployed = { cells = 1, channels = 4 }
"""


def cells(folder: Path) -> CellSpace:
    (folder / "small.toml").write_text(SMALL)
    space = load_space(str(folder / "small.toml"), image_size=16, in_channels=1, n_classes=3)
    assert isinstance(space, CellSpace)
    return space


class ImageBatches:
    def at(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(4, 1, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
        return x, torch.randint(3, (4,), generator=generator)


def search(space: CellSpace, compiled: bool) -> GradientSearch:
    """By SNAS: one pass has the gradients of weights and policy, so there is one thing to compile."""
    settings = SearchSettings(steps=3, epoch_steps=10, seed=1, arch_every=1, compile=compiled)
    batches = ImageBatches()
    return GradientSearch(
        space, stage_supernets(space), CostModel(space), (), METHODS["snas"], batches, batches, settings
    )


@pytest.mark.slow
@pytest.mark.skipif(cpp_compiler() is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("default")  # those of torch's compiler are not ours
def test_a_compiled_search_is_the_eager_one_and_paths_stay_eager(tmp_path: Path) -> None:
    from torch._dynamo.utils import counters

    space = cells(tmp_path)
    eager, compiled = (search(space, c) for c in (False, True))
    counters.clear()
    for found in (eager, compiled):
        found.run(until=2)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    for name, p in eager.supernet.named_parameters():
        torch.testing.assert_close(compiled.supernet.get_parameter(name), p, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(eager.policy.parameters(), compiled.policy.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
    path = Mix.one_hot(space.choices, space.canonical((2,) * len(space.choices)))
    run_mix(compiled.supernet, path, ImageBatches().at(0)[0])
    assert counters["stats"]["unique_graphs"] == graphs


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Conv2d(1, 2, 3), torch.float64

    def forward(self, x: Tensor, mix: Mix) -> Tensor:
        y: Tensor = self.layer(x)
        self.seen = y.dtype
        return y.mean((2, 3))


def test_bf16_is_inside_the_supernet_alone() -> None:
    net, x, mix = Convolution(), torch.randn(2, 1, 8, 8), Mix((), (), ())
    plain = run_mix(net, mix, x)
    assert net.seen == torch.float32
    use_bf16(net)
    logits = run_mix(net, mix, x)
    assert (net.seen, logits.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(logits, plain, rtol=2**-6, atol=2**-6)  # 8 bits of mantissa


def test_what_cannot_be_had_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mobile = load_space("mobile", image_size=32, in_channels=1, n_classes=3)
    with pytest.raises(UsageError, match="bf16 is for searches on CUDA, and this one runs on cpu"):
        require_speed(mobile, "cpu", bf16=True, compiled=False)
    with pytest.raises(UsageError, match="space mobile does not have"):
        require_speed(mobile, "cuda", bf16=True, compiled=True)
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(UsageError, match="needs a C\\+\\+ compiler on a CPU, and none was found"):
        require_speed(cells(tmp_path), "cpu", bf16=False, compiled=True)
    require_speed(cells(tmp_path), "cuda", bf16=True, compiled=True)
    require_speed(mobile, "cpu", bf16=False, compiled=False)
