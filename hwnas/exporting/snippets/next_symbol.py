"""The program in Python that goes on with a text: needs numpy and onnxruntime."""

from __future__ import annotations

FILE = "snippets/continue.py"

TEMPLATE = '''"""Goes on with a text by @FILE@. Needs numpy and onnxruntime.

python continue.py "Once upon" 40    the text and 40 symbols more, drawn by their probabilities
python continue.py --check           whether this machine answers as the golden pair says
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

FOLDER = Path(__file__).resolve().parent.parent
MODEL = FOLDER / @FILE_TEXT@
VOCABULARY = json.loads((FOLDER / "vocabulary.json").read_text(encoding="utf-8"))
WORDS = @WORDS@
STATE_SHAPE = @SHAPE@


def symbols_of(text: str) -> list[int]:
    """The numbers of characters or words; what the vocabulary lacks is <unk>, or left out without one."""
    number = {symbol: i for i, symbol in enumerate(VOCABULARY)}
    parts = re.findall(r"\\w+|[^\\w\\s]", text) if WORDS else list(text)
    found = [number.get(part, number.get("<unk>")) for part in parts]
    return [i for i in found if i is not None]


def step(session: ort.InferenceSession, symbol: int, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the next symbol, one per entry of VOCABULARY, and the state that the next call is given."""
    token = np.full(@BATCH@, symbol, np.int64)
    scores, state = session.run([@OUTPUT@, @NEXT@], {@INPUT@: token, @STATE@: state})
    return scores[0], state


def read(session: ort.InferenceSession, symbols: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and state after a text. A text begins with a state of zeros."""
    state = np.zeros(STATE_SHAPE, np.float32)
    scores = np.zeros(len(VOCABULARY), np.float32)
    for symbol in symbols:
        scores, state = step(session, symbol, state)
    return scores, state


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    session = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    if arguments == ["--check"]:
        golden = json.loads((FOLDER / "golden/expected.json").read_text(encoding="utf-8"))
        expected = golden["files"][MODEL.name]
        scores, _ = read(session, [VOCABULARY.index(symbol) for symbol in golden["symbols"]])
        difference = float(np.abs(scores - np.array(expected["outputs"])).max())
        good = difference <= expected["tolerance"]
        verdict = "good" if good else "WRONG"
        print(f"{verdict}: difference {difference:.2g}, allowed {expected['tolerance']:.2g}")
        return 0 if good else 1
    text, n = arguments[0], int(arguments[1]) if len(arguments) > 1 else 40
    scores, state = read(session, symbols_of(text))
    rng = np.random.default_rng(0)
    added = []
    for _ in range(n):
        powers = np.exp(scores.astype(np.float64) - scores.max())
        symbol = int(rng.choice(len(VOCABULARY), p=powers / powers.sum()))
        added.append(VOCABULARY[symbol])
        scores, state = step(session, symbol, state)
    print(text + (" " + " ".join(added) if WORDS else "".join(added)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
