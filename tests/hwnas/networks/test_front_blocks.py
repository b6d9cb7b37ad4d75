"""The front end as a block: its closed forms against torch's counter, its module and its exported file."""

import pytest
import torch

from hwnas.networks.flops import counter_macs
from hwnas.networks.front_blocks import FrontBlock
from hwnas.networks.mel_settings import LogMelSettings
from hwnas.networks.mobile_blocks import MobileBlock, Operation
from hwnas.networks.modules import module_of
from hwnas.pipeline.networks import module_onnx
from targets.errors import UsageError

SOUNDS = LogMelSettings.of(8000, 0.5)
BLOCKS = (FrontBlock(6, 96), FrontBlock(SOUNDS.bands, SOUNDS.frames, SOUNDS))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.group)
def test_its_costs_are_those_of_the_module_and_of_the_file(block: FrontBlock) -> None:
    module = module_of(block)
    assert block.macs == counter_macs(module, block.input_shape[1:])
    assert block.params == sum(p.numel() for p in module.parameters() if p.requires_grad)
    with torch.no_grad():
        assert list(module(torch.zeros(block.input_shape)).shape[1:]) == block.shape_out
    assert block.file_bytes == pytest.approx(len(module_onnx(module, block.input_shape)), rel=0.02, abs=400)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.group)
def test_its_key_says_all_of_it(block: FrontBlock) -> None:
    assert FrontBlock.parse(block.key) == block
    stem = MobileBlock(kind="stem", op=Operation("none"), c_in=6, c_out=8, size=96, stride=2, dims=1)
    assert block.features.keys() == stem.features.keys()  # one estimator serves all blocks of a space


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown front end 'mel'; allowed: standardise/"):
        FrontBlock.parse("mel")
