"""A network that estimates numbers answers in the units of the data once it is finished."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwnas.spaces import load_space
from hwnas.tasks import REGRESSION
from hwnas.training.initial_weights import initialise
from hwnas.training.mobilenet import mobilenet_v3_small
from targets.errors import HwnasError

LABELS = np.array([[20.0, -3.0], [60.0, 5.0], [40.0, 1.0]], np.float32)


@pytest.mark.parametrize("name", ["mobile", "nasbench201", "darts", "enas-macro", "pnas", "mobilenet"])
def test_the_last_layer_holds_the_scale_of_the_targets(name: str) -> None:
    if name == "mobilenet":
        module = mobilenet_v3_small(0.35, 32, 3, 2)
    else:
        space = load_space(name, image_size=32, in_channels=3, n_classes=2)
        module = space.build(space.sample(np.random.default_rng(1)))
    initialise(module, 0)
    module.eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    task = REGRESSION.fitted(LABELS)
    with torch.inference_mode():
        standard = module(x).numpy()
    with torch.inference_mode():
        answers = task.finish(module)(x).numpy()
    # Mean 40 and deviation √(800/3); mean 1 and deviation √(32/3).
    np.testing.assert_allclose(answers, standard * np.sqrt([800 / 3, 32 / 3]) + [40, 1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(task.answers(standard), answers, rtol=1e-4, atol=1e-4)


def test_a_network_without_such_a_layer_is_refused() -> None:
    with pytest.raises(HwnasError, match="does not end with a linear layer"):
        REGRESSION.fitted(LABELS).finish(torch.nn.Sequential(torch.nn.Linear(4, 3)))
