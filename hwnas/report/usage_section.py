"""The section that a developer copies from: run a model in a few lines, repeat or resume the search."""

from __future__ import annotations

import shlex
from typing import Any

from hwnas.core.samples import kind_named
from hwnas.runs.summary import next_commands
from hwnas.tasks import task_named

from .facts import budgets, chosen, resolved_config
from .figure_sections import pending, section
from .markup import Html, HtmlContent, el
from .run_files import JsonObject, RunFiles

SHOWN_CLASSES = range(1, 21)  # longer lists stand in the manifest only


def usage_section(run: RunFiles) -> Html:
    """Python for the chosen network, and the commands of the run."""
    best = chosen(run)
    code = model_code(best.file, run.manifests[best.arch_id]) if best and best.file else None
    resume = f"hwnas search --resume {shlex.quote(str(run.path))}"
    repeat = repeat_command(run)
    following = next_commands(str(run.path), best.arch_id, run.front.get("task")) if best else []
    children: list[HtmlContent] = [
        el("h3", "Run it in Python"),
        el(
            "p",
            "From the folder of this page; numpy, Pillow and onnxruntime are all it takes.",
            class_="note",
        ),
        _block(code) if code else pending("No network has been exported so far."),
        el("h3", "What next"),
        _block(
            "\n".join(f"{command}    # {does}" for command, does in following),
            "command",
        )
        if best and best.file
        else None,
        el("h3", "Repeat this run"),
        _block(repeat, "command") if repeat else pending("The run has no config.resolved.json."),
        el("h3", "Go on with it after an interruption"),
        _block(resume, "command"),
        el(
            "p",
            "The numbers of this page as files: ",
            [
                _link(name, run)
                for name in ("front.csv", "front.json", "train_stats.csv", "config.resolved.json")
            ],
            "Netron shows an ONNX file as a graph.",
            class_="note",
        ),
    ]
    return section("use", "Use it", *children)


_PICTURES = {
    "mask": ".argmax(0)",
    "boxes": " # log distances and scores of each cell: `hwnas export` writes a program that finds boxes",
}
"""What follows the answer of a file that is more than a number per class."""


def model_code(file: str, manifest: JsonObject) -> str:
    """Five lines that load the exported file, prepare an image as in training, and print the class.

    Where the margins of a photo are an odd number of pixels, the crop is off by half a pixel.
    """
    shape = [int(size) for size in manifest.get("input_shape") or (1, 3, 32, 32)]
    kind = kind_named(manifest.get("sample"))
    if kind.dims == 0:
        return _text_code(file, manifest, shape[0])
    batch, channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    upright = f'ImageOps.exif_transpose(Image.open("image.png")).convert("{mode}")'
    mean, std = _list(manifest.get("mean"), 0.0), _list(manifest.get("std"), 1.0)
    scaling = "BILINEAR" if "bilinear" in str(manifest.get("preprocessing")) else "BICUBIC"
    copies = f".repeat({batch}, 0)" if batch > 1 else ""
    scores = f"net.run(None, {{{str(manifest.get('input_name') or 'image')!r}: x}})[0][0]"
    classes = [str(name) for name in manifest.get("class_names") or []]
    reading = task_named(manifest.get("task")).readable.reading
    if reading in _PICTURES:
        known = f"{scores}{_PICTURES[reading]}"
    elif reading == "heads":
        feeds = f"{{{str(manifest.get('input_name') or 'image')!r}: x}}"
        known = f"dict(zip({list(manifest.get('heads') or {})!r}, net.run(None, {feeds})))"
    elif reading != "top":
        known = f"dict(zip({classes!r}, {scores}))" + (" # above 0: given" if reading == "above" else "")
    elif len(classes) in SHOWN_CLASSES:
        known = f"{classes!r}[{scores}.argmax()]"
    else:
        known = f"{scores}.argmax()"
    if kind.dims == 1:
        return "\n".join(
            [
                "import numpy as np, onnxruntime as ort",
                f"net = ort.InferenceSession({file!r}, providers=['CPUExecutionProvider'])",
                f"values = np.loadtxt('{kind.name}.csv', delimiter=',', ndmin=2)  # ({width}, {channels})",
                f"x = values.T.reshape(1, {channels}, 1, {width}){copies}.astype(np.float32)",
                f"print({known})",
            ]
        )
    return "\n".join(
        [
            "import numpy as np, onnxruntime as ort; from PIL import Image, ImageOps",
            f"net = ort.InferenceSession({file!r}, providers=['CPUExecutionProvider'])",
            f"image = ImageOps.fit({upright}, ({width}, {height}), Image.Resampling.{scaling})",
            f"x = ((np.atleast_3d(image) / 255 - {mean}) / {std}).transpose(2, 0, 1)[None]{copies}"
            ".astype(np.float32)",
            f"print({known})",
        ]
    )


def _text_code(file: str, manifest: JsonObject, batch: int) -> str:
    """The same for a text: symbol by symbol, with the state that the file gives."""
    said = manifest.get("carried")
    state = said if isinstance(said, dict) else {}
    feeds = f"{{{str(manifest.get('input_name'))!r}: token, {str(state.get('input'))!r}: state}}"
    return "\n".join(
        [
            "import numpy as np, onnxruntime as ort",
            f"net = ort.InferenceSession({file!r}, providers=['CPUExecutionProvider'])",
            f"state = np.zeros({state.get('shape')}, np.float32)",
            "for number in numbers:  # of the symbols of a text: their places in class_names",
            f"    scores, state = net.run(None, {feeds.replace('token,', f'np.full({batch}, number),')})",
            "print(scores[0])  # of what follows, one per symbol",
        ]
    )


def repeat_command(run: RunFiles) -> str | None:
    """`hwnas search` with every option that is not the default; data, target and seed are always said.

    What the run worked out (the budget where none was given, the steps that fitted into `--minutes`) is
    said as a number, so that a faster or slower machine does the same.
    """
    from hwnas.runs.config import FIELDS, SearchConfig, option_name

    config = dict(resolved_config(run))
    if not config:
        return None
    if budgets(run):
        config["budgets"] = [f"{metric}<={limit:.12g}" for metric, limit in budgets(run)]
    # The proposals at a time are called as their option: `batch` there is the images per inference.
    counts = {("population" if name == "batch" else name): n for name, n in run.part("counts").items()}
    if counts:
        config |= {**counts, "minutes": None}
    defaults = SearchConfig().to_json()
    always = ("data", "targets", "seed")
    words = ["hwnas", "search"]
    for key in (*always, *(name for name in FIELDS if name not in always)):
        if key in config and (key in always or config[key] != defaults[key]):
            words += _option(option_name(key), config[key])
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [name] if value else []
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [word for entry in values for word in (name, str(entry))]


def _list(value: Any, default: float) -> list[float]:
    """Six digits are more than a pixel has."""
    return [round(float(entry), 6) for entry in value] if isinstance(value, list) else [default]


def _block(text: str, kind: str = "program") -> Html:
    return el("pre", el("code", text), class_=kind, tabindex="0")


def _link(name: str, run: RunFiles) -> HtmlContent:
    return (
        [el("a", name, href=f"./{name}"), ". " if name.startswith("config") else ", "]
        if (run.path / name).is_file()
        else None
    )
