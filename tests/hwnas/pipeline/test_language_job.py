"""The main job of a text of known entropy, from `--data markov` to a file that carries its state.

The counts are tiny; nothing is replaced by a stand-in but the limit on noise.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from scipy.special import log_softmax

from hwnas.data import load_data
from hwnas.data.markov import markov_source
from tests.support.main_jobs import run_here

pytestmark = pytest.mark.slow

SPACE = 'space = "recurrent"\noperations = ["none", "tanh", "relu"]\nnodes = 3\nwidths = [16, 24]\n'
COUNTS = (
    "--evaluations 5 --population 2 --eval-epochs 1 --picks 1 --random-baselines 0 --workers 1",
    "--train-epochs 3 --budget latency_ms<=5000 --profile-minutes 3 --quiet",
)
"""From five evaluations on the proxies are looked at."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    (folder / "tiny.toml").write_text(SPACE)
    run_here(folder, "search --data markov --task language --space tiny.toml --out run", *COUNTS)
    return folder


def chosen(folder: Path) -> dict[str, float]:
    front = json.loads((folder / "run/front.json").read_text())
    (point,) = [p for p in front["points"] if p["arch_id"] == front["chosen"]]
    measured: dict[str, float] = point["measured"]
    return measured


def test_the_perplexity_is_above_that_of_the_source_and_well_below_that_of_the_frequencies(
    folder: Path,
) -> None:
    source, measured = markov_source(), chosen(folder)
    n = 249 * 24  # predicted symbols of the test part
    # Logarithms of the source spread by about one: four standard errors of their mean.
    assert math.log(measured["test_perplexity"]) > source.entropy_rate() - 4 / math.sqrt(n)
    assert math.log(measured["test_perplexity"]) < source.unigram_entropy() - 0.3
    assert measured["test_saved_low"] > 0.1


def test_the_file_called_symbol_by_symbol_has_the_perplexity_that_the_front_says(folder: Path) -> None:
    manifest = json.loads((folder / "run/models/best/manifest.json").read_text())
    carried, check = manifest["carried"], manifest["check"]
    assert check["max_difference"] <= 1e-5 * max(1.0, check["largest_logit"])
    splits = json.loads((folder / "run/splits.json").read_text())
    data = load_data("markov", None, 0, root=folder / "home", task="language", splits=splits)
    test = data.split("test")
    pieces, labels = data.images(test).numpy(), data.labels[test]
    session = ort.InferenceSession(folder / "run/models/best/model.onnx", providers=["CPUExecutionProvider"])
    losses = []
    for piece, follow in zip(pieces, labels, strict=True):
        state = np.zeros(carried["shape"], np.float32)
        rows = []
        for symbol in piece:
            feeds = {manifest["input_name"]: np.array([symbol]), carried["input"]: state}
            logits, state = session.run([manifest["output_name"], carried["output"]], feeds)
            rows.append(logits[0])
        logs = log_softmax(np.array(rows[-len(follow) :], np.float64), axis=1)
        losses.append(-logs[np.arange(len(follow)), follow])
    assert chosen(folder)["test_perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)


def test_the_export_says_how_the_state_is_carried_and_its_program_goes_on(folder: Path) -> None:
    app = folder / "run/export"
    card = (app / "README.md").read_text(encoding="utf-8")
    assert "next_state" in card and "Perplexity" in card and "image" not in card
    assert json.loads((app / "vocabulary.json").read_text()) == list("abcdefgh")
    program = [sys.executable, str(app / "snippets/continue.py")]
    assert subprocess.run(
        [*program, "--check"], capture_output=True, text=True, check=True
    ).stdout.startswith("good")
    text = subprocess.run([*program, "abc", "7"], capture_output=True, text=True, check=True).stdout.strip()
    assert text.startswith("abc") and len(text) == 10 and set(text) <= set("abcdefgh")


def test_the_page_speaks_of_pieces_and_bits(folder: Path) -> None:
    page = (folder / "run/report.html").read_text(encoding="utf-8")
    assert "bits saved" in page and "Bits by its frequency" in page
    assert "test images" not in page and "Test accuracy" not in page
