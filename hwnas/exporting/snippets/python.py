"""The program in Python: needs numpy, Pillow and onnxruntime."""

from __future__ import annotations

from . import boxes
from .facts import AppFacts, filled

FILE = "snippets/{verb}.py"

_TEMPLATE = '''"""@Verb@ images with @FILE@. Needs numpy, Pillow and onnxruntime.

python @verb@.py photo.jpg    @ANSWER@ of a photo
python @verb@.py --check      whether this machine answers as the golden pair says
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parent.parent
MODEL = FOLDER / @FILE_TEXT@
CLASSES = @CLASSES@
WIDTH, HEIGHT = @WIDTH@, @HEIGHT@


def prepare(image: Image.Image) -> np.ndarray:
    """The central square, scaled by an antialiased bicubic filter, as the network takes it."""
    image = ImageOps.exif_transpose(image).convert("@MODE@")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    square = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)
    x = np.asarray(square, np.uint8).reshape(1, HEIGHT, WIDTH, @CHANNELS@)
@FEED@
    return np.repeat(np.ascontiguousarray(x), @BATCH@, axis=0)


def @verb@(session: ort.InferenceSession, image: Image.Image) -> np.ndarray:
    """@OUTPUT@, one per @EACH@."""
    return @CALL@

@TOLD@
@FINDER@def main(arguments: list[str]) -> int:
    if not arguments or (arguments[0].startswith("-") and arguments != ["--check"]):
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    session = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    if arguments == ["--check"]:
        golden = json.loads((FOLDER / "golden/expected.json").read_text(encoding="utf-8"))
        expected = golden["files"][MODEL.name]
        scores = @verb@(session, Image.open(FOLDER / golden["image"]))
        difference = float(np.abs(scores@SOME@ - np.array(expected["outputs"])).max())
        good = difference <= expected["tolerance"]@SAME@
        verdict = "good" if good else "WRONG"
        print(f"{verdict}: difference {difference:.2g}, allowed {expected['tolerance']:.2g}")
        return 0 if good else 1
    failed = False
    for path in arguments:
        try:
            scores = @verb@(session, Image.open(path))
        except OSError as error:  # also of what is no image
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
@KEEP@        print(path, @READ@)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


READ = {
    "top": 'CLASSES[int(scores.argmax())], f"{scores.max():.4g}"',
    "above": '", ".join(n for n, s in zip(CLASSES, scores) if s > THRESHOLD) or "none"',
    "values": '", ".join(f"{n} {s:.6g}" for n, s in zip(CLASSES, scores))',
    "heads": "told(scores)",
    "mask": "{n: int((mask == i).sum()) for i, n in enumerate(CLASSES)}",
    "boxes": boxes.PYTHON_READ,
}
_KEEP_MASK = """        mask = scores.argmax(0).astype(np.uint8)
        Image.fromarray(mask).save(f"{path}.mask.png")
"""
_CALL = "session.run([@OUTPUT_NAME@], {@INPUT_NAME@: prepare(image)})[0][0]"
_CALL_HEADS = """np.concatenate(
        [head[0] for head in session.run(list(HEADS), {@INPUT_NAME@: prepare(image)})]
    )"""
_TOLD = '''
HEADS = @HEADS@
"""Of each output how it is read and what its numbers stand for."""


def told(scores: np.ndarray) -> str:
    """What each head says: the class of the largest number, the tags above 0, or the numbers."""
    words, first = [], 0
    for head, (reading, names) in HEADS.items():
        own = dict(zip(names, scores[first : first + len(names)]))
        first += len(names)
        given = {
            "top": max(own, key=own.get),
            "above": ", ".join(name for name, score in own.items() if score > 0) or "none",
            "values": ", ".join(f"{name} {score:.6g}" for name, score in own.items()),
        }
        words.append(f"{head}: {given[reading]}")
    return "; ".join(words)

'''
SAME = ' and int(scores.argmax()) == expected["label"]'


def snippet(facts: AppFacts) -> str:
    """The program."""
    feed = []
    if not facts.pixels:
        mean, std = (f"np.array({list(values)!r}, np.float32)" for values in (facts.mean, facts.std))
        feed.append(f"    x = (x.astype(np.float32) / 255 - {mean}) / {std}")
    if not facts.channels_last:
        feed.append("    x = x.transpose(0, 3, 1, 2)")
    values = {
        **facts.words,
        "FILE": facts.file,
        "FILE_TEXT": repr(facts.file),
        "CLASSES": repr(list(facts.class_names)),
        "WIDTH": str(facts.width),
        "HEIGHT": str(facts.height),
        "CHANNELS": str(facts.channels),
        "MODE": "L" if facts.channels == 1 else "RGB",
        "FEED": "\n".join(feed) or "    # pixels 0 to 255 as they are: the file normalises them itself",
        "BATCH": str(facts.batch),
        "OUTPUT": facts.outputs.capitalize(),
        "EACH": facts.each,
        "ANSWER": facts.readable.answer,
        "READ": READ[facts.readable.reading].replace("THRESHOLD", f"{facts.threshold:g}"),
        "SAME": SAME if facts.readable.reading == "top" else "",
        "SOME": "" if facts.n_outputs == len(facts.class_names) else f".ravel()[::{facts.every}]",
        "KEEP": _KEEP_MASK if facts.readable.reading == "mask" else "",
        "FINDER": boxes.finder(boxes.PYTHON, facts),
        "OUTPUT_NAME": repr(facts.output_name),
        "INPUT_NAME": repr(facts.input_name),
        "HEADS": repr(dict(facts.heads)),
    }
    parts = {
        "CALL": filled(_CALL_HEADS if facts.heads else _CALL, values),
        "TOLD": filled(_TOLD, values) if facts.heads else "",
    }
    return filled(_TEMPLATE, {**values, **parts})
