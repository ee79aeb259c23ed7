"""SHA-256 digest of an exported model, among its metadata: it reveals damage of a single bit.

The digest is that of the whole file with zeros in the digest's own place. Reading it needs no package for ONNX files.
The digest is not a signature: whoever changes a model on purpose can change the digest as well.
"""

from __future__ import annotations

import hashlib

DIGEST = "digest"  # name of the metadata entry
_LENGTH = 64  # hexadecimal digits of SHA-256
EMPTY_DIGEST = "0" * _LENGTH  # the entry of a model without its digest
# How Protocol Buffers store the entry: field 1 and its length, the name, field 2 and its length; the digest follows.
_START = b"\x0a" + bytes([len(DIGEST)]) + DIGEST.encode() + b"\x12" + bytes([_LENGTH])


def add_digest(model: bytes) -> bytes:
    """Returns a model with the digest in its metadata.

    Args:
        model: Content of an ONNX file with an entry ``digest``, such as ``EMPTY_DIGEST``.

    Raises:
        ValueError: If it has no such entry.
    """
    place = _find(model)
    return model[: place.start] + _compute(model, place).encode() + model[place.stop :]


def check_digest(model: bytes) -> None:
    """Checks that a model has the digest of its content.

    Raises:
        ValueError: If it has none, or another one.
    """
    place = _find(model)
    if model[place] != _compute(model, place).encode():
        raise ValueError("its digest does not fit its content: the file is damaged or was changed; take another copy")


def _find(model: bytes) -> slice:
    """The place of the digest: metadata are at the end of a file, so it is the last entry of that name."""
    start = model.rfind(_START)
    stop = start + len(_START) + _LENGTH
    if start < 0 or stop > len(model):
        raise ValueError("not a complete centerdet model of this version: it has no digest")
    return slice(stop - _LENGTH, stop)


def _compute(model: bytes, place: slice) -> str:
    content = memoryview(model)
    digest = hashlib.sha256(content[: place.start])
    digest.update(EMPTY_DIGEST.encode())
    digest.update(content[place.stop :])
    return digest.hexdigest()
