"""pt.darts (github.com/khanrc/pt.darts) from a check-out: its search network and its architect, on a CPU.

Its `search.py` cannot be imported (it reads the command line and wants a GPU), so one turn of its training
loop is spelt out here, on its own network, architect and optimisers; their settings are the defaults of its
`config.py`. Left out, which favours it: moving batches, accuracies, logging. Its first order is the
validation loss differentiated by the alphas alone, as its architect takes all its gradients; DARTS's own
code calls `backward`, which computes the gradients of the weights too and throws them away.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from targets.errors import UsageError

Batch = tuple[torch.Tensor, torch.Tensor]

LR, MOMENTUM, WEIGHT_DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0
_FILES = ("architect.py", "genotypes.py", "models/search_cnn.py")


def steps(
    folder: Path, batch: Callable[[int], Batch], channels: int, cells: int, device: str = "cpu"
) -> dict[str, Any]:
    """Per order a function that makes one search step; batch: 0 the training, 1 the validation batch."""
    for name in _FILES:
        if not (folder / name).is_file():
            raise UsageError(f"{folder} has no {name}; give a check-out of github.com/khanrc/pt.darts")
    sys.path.insert(0, str(folder))
    try:
        network, architect = import_module("models.search_cnn"), import_module("architect")
    finally:
        sys.path.remove(str(folder))
    made = {"pt.darts, first order": False, "pt.darts, second order": True}
    return {
        name: _step(network, architect, batch, channels, cells, order, device) for name, order in made.items()
    }


def _step(
    network: Any,
    architects: Any,
    batch: Callable[[int], Batch],
    channels: int,
    cells: int,
    unrolled: bool,
    device: str,
) -> Callable[[], object]:
    torch.manual_seed(0)
    # Contiguous, as its loaders give them: its `view` of gradients takes no other layout.
    (train_x, train_y), (val_x, val_y) = ((x.contiguous(), y) for x, y in (batch(0), batch(1)))
    # One number in device_ids keeps it from spreading the batch over GPUs; the number is not used.
    model = network.SearchCNNController(
        train_x.shape[1], channels, 10, cells, nn.CrossEntropyLoss(), device_ids=[0]
    ).to(device)
    weights, alphas = list(model.weights()), list(model.alphas())
    sgd = torch.optim.SGD(weights, LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    adam = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    architect = architects.Architect(model, MOMENTUM, WEIGHT_DECAY)

    def step() -> None:
        adam.zero_grad()
        if unrolled:
            architect.unrolled_backward(train_x, train_y, val_x, val_y, LR, sgd)
        else:
            found = torch.autograd.grad(model.loss(val_x, val_y), alphas)
            for alpha, gradient in zip(alphas, found, strict=True):
                alpha.grad = gradient
        adam.step()
        sgd.zero_grad()
        loss = model.criterion(model(train_x), train_y)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        sgd.step()
        loss.item()

    return step
