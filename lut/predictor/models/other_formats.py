"""What a file is that is no ONNX model, by how it begins, and what to do with it."""

from __future__ import annotations

_SIGNS = {
    b"version https://git-lfs": "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<": "it is a web page or XML, as a failed download leaves; download the file again",
    b"\x1f\x8b": "it is packed with gzip; unpack it with `gunzip`",
    b"BZh": "it is packed with bzip2; unpack it with `bunzip2`",
    b"\xfd7zXZ": "it is packed with xz; unpack it with `unxz`",
    b"\x28\xb5\x2f\xfd": "it is packed with zstd; unpack it with `unzstd`",
    b"\x80": "it looks like a Python pickle, which is not opened because it can run code; export it to ONNX",
    b"PK\x03\x04": "it is a zip archive, as torch.save writes them; export it to ONNX",
    b"\x89HDF": "it is an HDF5 file, as Keras writes them; export it to ONNX",
    b"GGUF": "it is a GGUF file, as llama.cpp reads them; export it to ONNX",
}
"""How other files begin."""

_INNER_SIGNS = {
    b"ORTM": (4, "it is in onnxruntime's own format ORT; give the ONNX file that it was made from"),
    b"TFL3": (4, "it is a TensorFlow Lite file; export it to ONNX"),
    b'{"': (8, "it is a safetensors file, which holds weights and no graph; export the network to ONNX"),
}
"""Signs that stand further on: the byte at which they do."""

_READABLE = bytes([9, 10, 13, *range(32, 127)])
_TEXT = "it is a text file; give the ONNX file that the network was exported to"


def other_format(data: bytes) -> str:
    """What a file of another format is, and what to do; empty where nothing is known of it."""
    head = data[:64]
    inner = [what for sign, (at, what) in _INNER_SIGNS.items() if head[at:].startswith(sign)]
    signed = [what for sign, what in _SIGNS.items() if head.lstrip().startswith(sign)]
    return next(iter([*signed, *inner, *([_TEXT] if _is_text(data) else [])]), "")


def _is_text(data: bytes) -> bool:
    """Whether all that it begins with can be read; a protobuf message has other bytes among its first."""
    return not data[:1000].translate(None, _READABLE)
