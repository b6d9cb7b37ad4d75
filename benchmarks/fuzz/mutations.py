"""Valid inputs made invalid: bytes anywhere, tokens of texts, values of JSON, fields of ONNX."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from lut.predictor.models.protobuf import field
from profilers.protobuf import spans

Mutate = Callable[[bytes, random.Random], bytes]

TOKENS = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"1e308", b"-1e400", b"9" * 5000, b"0x" + b"F" * 4200, b"1e-320",
    b"18446744073709551616", b"-9223372036854775809", b"[" * 3000, b"{" * 3000, b"(" * 3000, b"[[1]]", b"{}",
    b"[]", b"''", b'""', b'"\\u0000"', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"n" * 300, b"../../etc/passwd",
    b"/dev/zero", b"true", b"null", b"None", b"CON", b"<script>", b"1_0", b"1.0.0", b"\r\n", b"=", b",",
    b"\xf0\x9f\x92\xa9", b"__import__('os')", b"%s%n", b"${HOME}", b"1979-05-27", "\u202e".encode(),
)  # fmt: skip
"""What replaces a token of a text."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, 1e308, -1e308, float("nan"),
    float("inf"), "", "x", "\x00", "n" * 300, "../../x", "/dev/zero", [], {}, [[]], [{}], {"x": 1}, [None],
    ["x"], [1, 2], "nan", "1", [1e308], [float("nan")],
)  # fmt: skip
"""What replaces a value of a document."""

_TOKEN = re.compile(rb"\d[\w.+-]*|\w+|\"[^\"\n]*\"|'[^'\n]*'|[^\s\w]")


def by_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes anywhere."""
    new = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(new) + 1)
        length = min(1 << rng.randrange(10), len(new) - at)
        match rng.randrange(7):
            case 0 if at < len(new):
                new[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(new):
                new[at] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
            case 2:
                del new[at : at + length]
            case 3:
                new[at:at] = new[at : at + length]
            case 4:
                new[at:at] = rng.choice(TOKENS)
            case 5:
                del new[at:]
            case _:
                new[at:at] = rng.randbytes(rng.randint(1, 16))
    return bytes(new)


def by_token(data: bytes, rng: random.Random) -> bytes:
    """A token of the text is replaced, left out or repeated; or a line is."""
    tokens = list(_TOKEN.finditer(data))
    if not tokens:
        return by_bytes(data, rng)
    for _ in range(rng.randint(1, 2)):
        token = rng.choice(tokens)
        new = rng.choice((rng.choice(TOKENS), b"", token[0] * 2, rng.choice(tokens)[0]))
        data = data[: token.start()] + new + data[token.end() :]
    if data.strip() and rng.random() < 0.2:
        lines = data.splitlines(keepends=True)
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[i] = rng.choice((b"", lines[j], lines[i] * 2))
        data = b"".join(lines)
    return data


def by_json(data: bytes, rng: random.Random) -> bytes:
    """A value of the document is replaced or left out, or a key added; each line is one document."""
    lines = data.splitlines() if data.count(b"\n{") else [data]
    at = rng.randrange(len(lines))
    try:
        document = json.loads(lines[at])
    except (ValueError, RecursionError):
        return by_token(data, rng)
    for _ in range(rng.randint(1, 2)):
        document = _changed(document, rng)
    lines[at] = json.dumps(document).encode()
    if rng.random() < 0.05:
        lines[at] = b'{"x": ' * 2000 + lines[at] + b"}" * 2000
    return b"\n".join(lines) + b"\n"


def _changed(node: Any, rng: random.Random) -> Any:
    inside = node and isinstance(node, (dict, list)) and rng.random() < 0.85
    if not inside:
        return rng.choice(VALUES)
    if isinstance(node, list):
        i = rng.randrange(len(node))
        if rng.random() < 0.1:
            return [*node[:i], *node[i + 1 :]]
        return [*node[:i], _changed(node[i], rng), *node[i + 1 :]]
    key = rng.choice(list(node))
    if rng.random() < 0.15:
        return {name: value for name, value in node.items() if name != key}
    if rng.random() < 0.1:
        return {**node, rng.choice(("", "x", "\x00", "n" * 300, f"{key}s")): node[key]}
    return {**node, key: _changed(node[key], rng)}


def by_field(data: bytes, rng: random.Random) -> bytes:
    """A field of a protobuf message, at any depth, is changed, left out or repeated."""
    try:
        return _message(memoryview(data), rng)
    except (ValueError, IndexError):
        return by_bytes(data, rng)


def _message(data: memoryview, rng: random.Random) -> bytes:
    parts, start = [], 0
    for number, value, end in spans(data):
        parts.append((number, value, bytes(data[start:end])))
        start = end
    if not parts:
        return bytes(data) + rng.randbytes(3)
    i = rng.randrange(len(parts))
    number, value, whole = parts[i]
    if not isinstance(value, int) and len(value) > 1 and rng.random() < 0.75:
        try:
            new = field(number, _message(value, rng))
        except (ValueError, IndexError):
            new = field(
                number, by_token(bytes(value), rng) if rng.random() < 0.5 else by_bytes(bytes(value), rng)
            )
    else:
        numbers = (0, 1, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, rng.randrange(64))
        new = rng.choice(
            (
                b"",
                whole * 2,
                field(rng.randrange(1, 30), whole),
                field(number, rng.choice(numbers)),
                field(number, rng.choice(TOKENS)),
            )
        )
    return b"".join([*(p[2] for p in parts[:i]), new, *(p[2] for p in parts[i + 1 :])])


def by_number(data: bytes, rng: random.Random) -> bytes:
    """A number of a protobuf message, at any depth, becomes another; most such files still load."""
    for _ in range(rng.randint(1, 3)):
        try:
            data = _renumbered(memoryview(data), rng) or data
        except (ValueError, IndexError):
            break
    return data


def _renumbered(data: memoryview, rng: random.Random) -> bytes | None:
    """None where no number is below; ValueError or IndexError where this is no message."""
    parts, start = [], 0
    for number, value, end in spans(data):
        parts.append((number, value, bytes(data[start:end])))
        start = end
    places = rng.sample(range(len(parts)), len(parts))
    if rng.random() < _DEEPER:
        places.sort(key=lambda i: isinstance(parts[i][1], int))  # versions and the like come last
    for i in places[:_LOOKED_AT]:
        number, value, _ = parts[i]
        if isinstance(value, int):
            near = (0, 1, 2, 3, value + 1, max(value - 1, 0), 2 * value, value // 2, 7, 64, 2**31, 2**64 - 1)
            new: bytes | None = field(number, min(rng.choice(near), 2**64 - 1))
        else:
            try:
                inner = _renumbered(value, rng)
            except (ValueError, IndexError):
                continue
            new = None if inner is None else field(number, inner)
        if new is not None:
            return b"".join([*(p[2] for p in parts[:i]), new, *(p[2] for p in parts[i + 1 :])])
    return None


_DEEPER = 0.8
_LOOKED_AT = 8
"""Fields of a message that are looked into for a number: text and weights have none."""


def by_member(data: bytes, rng: random.Random) -> bytes:
    """A member of a zip is broken, renamed, left out or there twice."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # zipfile raises whatever its parts raise on damaged bytes
        return by_bytes(data, rng)
    i = rng.randrange(len(members))
    name, content = members[i]
    names = ("../x", "/x", "C:\\x", "a" * 300, "x\x01y", "", f"{name}/", name.upper(), rng.choice(members)[0])
    match rng.randrange(5):
        case 0:
            del members[i]
        case 1:
            members[i] = (rng.choice(names), content)
        case 2:
            members.append((rng.choice(names), content))
        case _:
            members[i] = (name, rng.choice((by_bytes, by_json))(content, rng))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name or "x"), content)
    return buffer.getvalue()


def mutated(seeds: Sequence[bytes], kinds: Sequence[Mutate], rng: random.Random) -> bytes:
    """One of the seeds, broken in one of the ways; seldom twice, and seldom two joined."""
    data = rng.choice(kinds)(rng.choice(seeds), rng)
    if rng.random() < 0.1:
        data = rng.choice(kinds)(data, rng) if data else data
    if rng.random() < 0.03:
        other = rng.choice(seeds)
        data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
    return data
