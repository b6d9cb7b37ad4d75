"""The average of networks, and one local step against centralised training of the union."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.data import Batches, Data, load_data
from hwnas.data.splits import Split
from hwnas.federated.average import average
from hwnas.federated.local import as_part, local_epochs, shape_of
from hwnas.training.recipe import Recipe
from hwnas.training.train import changes_of
from targets.errors import UsageError


def test_weights_are_averaged_by_counts_and_norms_as_those_of_the_union() -> None:
    """Mean and variance of samples of which three parts have 10, 20 and 70: numpy's, of all of them."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(loc, 1 + loc, (n, 5)) for loc, n in ((0, 10), (2, 20), (5, 70))]
    states = [
        {
            "weight": torch.from_numpy(part[0]),
            "norm.running_mean": torch.from_numpy(part.mean(0)),
            "norm.running_var": torch.from_numpy(part.var(0)),
            "norm.num_batches_tracked": torch.tensor(len(part)),
        }
        for part in parts
    ]
    got = average(states, [len(part) for part in parts])
    union = np.concatenate(parts)
    np.testing.assert_allclose(got["norm.running_mean"], union.mean(0), rtol=1e-12)
    np.testing.assert_allclose(got["norm.running_var"], union.var(0), rtol=1e-12)
    np.testing.assert_allclose(got["weight"], 0.1 * parts[0][0] + 0.2 * parts[1][0] + 0.7 * parts[2][0])
    assert int(got["norm.num_batches_tracked"]) == 70


def test_equal_networks_are_their_own_average() -> None:
    state = {"a": torch.randn(3, 4), "n.running_var": torch.rand(4), "n.running_mean": torch.randn(4)}
    got = average([state] * 3, [1, 5, 2])
    assert all(torch.allclose(got[name], state[name], atol=1e-7) for name in state)


@pytest.mark.parametrize("counts", [[], [1.0], [1.0, 0.0]])
def test_a_part_without_images_is_no_part(counts: list[float]) -> None:
    with pytest.raises(UsageError, match="each needs a count above 0"):
        average([{"a": torch.zeros(1)}] * 2, counts)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"), limit=200)


def part(data: Data, indices: np.ndarray) -> Data:
    assignment = np.full(len(data.labels), -1, np.int8)
    assignment[indices] = 0
    return replace(data, _split=Split(assignment))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10)
    )


def test_one_full_step_of_equal_parts_is_the_step_of_the_union(digits: Data) -> None:
    """McMahan et al. 2017, section 2: with one step, averaging weights is averaging gradients (FedSGD)."""
    train = digits.split("train")[:96]
    parts = [part(digits, train[i::4]) for i in range(4)]
    recipe = Recipe(epochs=1, batch_size=24, lr=0.5, warmup_share=0.0, label_smoothing=0.1)
    states: list[dict[str, Tensor]] = []
    seen = []
    for seed, data in enumerate(parts):
        module = network()
        facts = local_epochs(module, data, recipe, seed, range(1))
        assert (facts["n_train"], facts["steps"]) == (24, 1)
        states.append(dict(module.state_dict()))
        seen.append(Batches(data, "train", 24, seed, changes_of(recipe, data)).at(0))
    got = average(states, [24] * 4)

    central = network()
    x, y = (torch.cat([batch[i] for batch in seen]) for i in range(2))
    decayed = [p for p in central.parameters() if p.ndim > 1]
    others = [p for p in central.parameters() if p.ndim <= 1]
    groups: list[dict] = [{"params": decayed, "weight_decay": 5e-4}, {"params": others}]
    sgd = torch.optim.SGD(groups, lr=0.5, momentum=0.9, nesterov=True)
    nn.functional.cross_entropy(central(x), y, label_smoothing=0.1).backward()
    sgd.step()
    for name, tensor in central.state_dict().items():
        assert torch.allclose(got[name], tensor, atol=1e-6), name
    assert not torch.allclose(got["0.weight"], network().state_dict()["0.weight"], atol=1e-3)  # it moved


def test_a_part_takes_over_classes_and_normalisation(digits: Data) -> None:
    shape = {**shape_of(digits), "class_names": ["a", *digits.class_names], "mean": [0.25]}
    here = as_part(digits, shape)
    assert here.n_classes == 11 and (here.labels == digits.labels + 1).all() and here.mean == (0.25,)
    with pytest.raises(UsageError, match="it has the classes '7', which --data has not"):
        as_part(digits, {**shape, "class_names": [c for c in digits.class_names if c != "7"]})
    with pytest.raises(UsageError, match="its samples are"):
        as_part(digits, {**shape, "sample_shape": [3, 16, 16]})


def test_the_file_of_parts_says_what_is_wrong(tmp_path: Path) -> None:
    from hwnas.federated.parts import read_federation

    file = tmp_path / "parts.toml"
    good = '[parts.a]\ndata = "a"\n[parts.b]\ndata = "/b"\nlabels = "/b.csv"\n'
    file.write_text(good)
    federation = read_federation(file)
    assert [p.data["spec"] for p in federation.parts] == [str(tmp_path / "a"), "/b"]
    assert (federation.local_epochs, federation.min_parts, federation.parts[1].resource) == (1, 2, "part-b")
    for text, told in (
        (good + "[partz]\n", "unknown key 'partz'; .*did you mean 'parts'"),
        ('[parts.a]\ndata = "a"\n', "names 1 part"),
        ("min_parts = 3\n" + good, "min_parts is 3; allowed: 1 to 2"),
        ("wait_s = 0\n" + good, "wait_s is 0; allowed: 1 to"),
        (good + '[parts.c]\nfolder = "c"\n', "unknown key 'folder'"),
        (good + "[parts.c]\n", "parts.c needs data"),
        (good + '[parts."a b"]\ndata = "c"\n', "a name of letters"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=told):
            read_federation(file)
