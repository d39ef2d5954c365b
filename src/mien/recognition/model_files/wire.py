"""The few lines of Protocol Buffers that an ONNX file needs to be split, extended or written without onnx."""

from __future__ import annotations

from collections.abc import Iterator


def walk(message: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, start, start of payload, end) of each top-level field of a Protocol Buffers message.

    Raises:
        ValueError: it is none, or cut off.
        IndexError: it is none, or cut off.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        payload, kind = position, tag & 7
        if kind == 0:
            _, position = _varint(message, position)
        elif kind == 2:
            length, payload = _varint(message, position)
            position = payload + length
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if position > len(message) or tag < 8:
            raise ValueError("truncated")
        yield tag >> 3, start, payload, position


def field_bytes(number: int, payload: bytes) -> bytes:
    """Return a field that holds bytes, text or a message."""
    return _to_varint(number << 3 | 2) + _to_varint(len(payload)) + payload


def field_whole(number: int, value: int) -> bytes:
    """Return a field that holds a whole number from 0."""
    return _to_varint(number << 3) + _to_varint(value)


def _varint(message: bytes | memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = message[position]
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value, position
        shift += 7
    raise ValueError("varint too long")


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
