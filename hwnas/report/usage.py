"""The section that a developer copies from: run a model in a few lines, repeat or resume the search."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from .facts import chosen, resolved_config
from .markup import Child, Html, el
from .run_files import Point, Row, RunFiles
from .sections import pending, section


def usage_section(run: RunFiles) -> Html:
    """Python for the chosen network, and the commands of the run."""
    best = chosen(run)
    code = model_code(best, run.manifests.get(best.arch_id, {})) if best and best.folder else None
    resume = f"hwnas search --resume {shlex.quote(str(run.path))}"
    repeat = repeat_command(resolved_config(run))
    children: list[Child] = [
        el("h3", "Run it in Python"),
        el(
            "p",
            "From the folder of this page; numpy, Pillow and onnxruntime are all it takes.",
            class_="note",
        ),
        _block(code) if code else pending("No network has been exported so far."),
        el("h3", "Repeat this run"),
        _block(repeat) if repeat else pending("The run has no config.resolved.json."),
        el("h3", "Go on with it after an interruption"),
        _block(resume),
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


def model_code(point: Point, manifest: Row) -> str:
    """Five lines that load the exported file, prepare an image as in training, and print the class."""
    model = f"{point.folder}/model.onnx"
    raw = manifest.get("input")
    facts: Row = raw if isinstance(raw, dict) else manifest
    size = _size(facts)
    mode = "L" if _channels(facts) == 1 else "RGB"
    pixels = (
        f'np.asarray(Image.open("image.png").convert("{mode}").resize(({size}, {size})), np.float32) / 255'
    )
    grey = f".reshape(1, {size}, {size}, 1)" if mode == "L" else "[None]"
    mean, std = _list(facts.get("mean")), _list(facts.get("std"))
    name = str(facts.get("name") or facts.get("input_name") or "image")
    classes = [str(c) for c in manifest.get("class_names") or []]
    shown = f"{classes!r}[best]" if 0 < len(classes) <= 20 else "best"
    return "\n".join(
        [
            "import numpy as np, onnxruntime as ort; from PIL import Image",
            f"net = ort.InferenceSession({model!r}, providers=['CPUExecutionProvider'])",
            f"x = (({pixels}){grey} - {mean}) / {std}",
            f"best = net.run(None, {{{name!r}: x.transpose(0, 3, 1, 2).astype(np.float32)}})[0].argmax()",
            f"print({shown})",
        ]
    )


def repeat_command(config: Row) -> str | None:
    """`hwnas search` with every option that is not the default; the seed is always said."""
    from hwnas.config import SearchConfig, option_name

    if not config:
        return None
    defaults = {field.name: field.default for field in dataclasses.fields(SearchConfig)}
    words = ["hwnas", "search"]
    for key, value in config.items():
        if key in ("data", "target", "seed") or _plain(value) != _plain(defaults.get(key)):
            words += _option(option_name(str(key)), value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [name] if value else []
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [word for entry in values for word in (name, str(entry))]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _size(facts: Row) -> int:
    shape = facts.get("shape") or facts.get("input_shape")
    if isinstance(shape, list) and len(shape) >= 2:
        return int(shape[-1])
    return int(facts.get("image_size") or 32)


def _channels(facts: Row) -> int:
    mean = facts.get("mean")
    return len(mean) if isinstance(mean, list) and mean else 3


def _list(value: Any) -> list[float]:
    """Six digits are more than a pixel has."""
    return [round(float(entry), 6) for entry in value] if isinstance(value, list) else [0.0]


def _block(text: str) -> Html:
    return el("pre", el("code", text), tabindex="0")


def _link(name: str, run: RunFiles) -> Child:
    return (
        [el("a", name, href=f"./{name}"), ". " if name.startswith("config") else ", "]
        if (run.path / name).is_file()
        else None
    )
