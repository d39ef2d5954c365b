"""Change small valid files so that most stay close to what a parser takes; the same random numbers, the same file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

_WORDS = (
    b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\0\0", b"\x7f\xff", b"\xff\xff\xff\xff", b"\0\0\0\0",
    b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\x80", b"\0\0\x40\0", b"\0\x40\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x01\0\0\0", b"\0\0\0\x01",
)  # fmt: skip
"""Values at which sizes, offsets and counts overflow, in both byte orders."""

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_NAME = re.compile(rb"[A-Za-z_][A-Za-z_0-9.-]{2,}")
_VALUES = (
    b"0", b"-1", b"1", b"255", b"65536", b"2147483648", b"1e400", b"nan", b"inf", b"-inf", b"0.5", b"true", b"[]",
    b"{}", b'""', b'"' + b"x" * 300 + b'"', b"null", b"99999999999999999999", b'"../../etc/passwd"', b"1e-320",
)  # fmt: skip


def binary(content: bytes, random_: Random, others: Sequence[bytes] = ()) -> bytes:
    """Flip, overwrite, cut out, repeat or move bytes in 1 to 20 places; half of them among the first 128.

    others: files of the same kind, of which pieces are taken.
    """
    out = bytearray(content)
    for _ in range(random_.choice((1, 1, 1, 2, 2, 4, 8, 20))):
        if not out:
            break
        reach = len(out) if random_.random() < 0.5 else min(128, len(out))
        random_.choice(_CHANGES)(out, random_.randrange(reach), random_)
    if others and random_.random() < 0.1:
        other = random_.choice(others)
        at, start = random_.randrange(len(out) + 1), random_.randrange(len(other))
        out[at:at] = other[start : start + random_.randrange(1, 512)]
    return bytes(out)


def text(content: bytes, random_: Random, others: Sequence[bytes] = ()) -> bytes:
    """Replace numbers, words and lines by others; now and then change bytes as ``binary`` does."""
    if random_.random() < 0.15:
        return binary(content, random_, others)
    for _ in range(random_.choice((1, 1, 2, 3, 6))):
        kind = random_.random()
        if kind < 0.4:
            content = _replaced(content, _NUMBER, random_.choice(_VALUES), random_)
        elif kind < 0.7:
            names = _NAME.findall(random_.choice(others) if others else content)
            content = _replaced(content, _NAME, random_.choice(names or [b"x"]), random_)
        else:
            content = _moved_line(content, random_, others)
    return content


def _replaced(content: bytes, what: re.Pattern[bytes], new: bytes, random_: Random) -> bytes:
    matches = list(what.finditer(content))
    if not matches:
        return content + new
    match = random_.choice(matches)
    return content[: match.start()] + new + content[match.end() :]


def _moved_line(content: bytes, random_: Random, others: Sequence[bytes]) -> bytes:
    lines = content.splitlines(keepends=True) or [b"\n"]
    at = random_.randrange(len(lines))
    how = random_.randrange(3)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(random_.randrange(len(lines) + 1), lines[at])
    else:
        lines[at:at] = [
            random_.choice((random_.choice(others) if others else content).splitlines(keepends=True) or [b""])
        ]
    return b"".join(lines)


def _flip(out: bytearray, at: int, random_: Random) -> None:
    out[at] ^= 1 << random_.randrange(8)


def _set(out: bytearray, at: int, random_: Random) -> None:
    out[at] = random_.randrange(256)


def _word(out: bytearray, at: int, random_: Random) -> None:
    word = random_.choice(_WORDS)
    out[at : at + len(word)] = word


def _step(out: bytearray, at: int, random_: Random) -> None:
    out[at] = (out[at] + random_.choice((-2, -1, 1, 2, 16))) % 256


def _cut(out: bytearray, at: int, random_: Random) -> None:
    del out[at : at + random_.randrange(1, 64)]


def _repeat(out: bytearray, at: int, random_: Random) -> None:
    piece = bytes(out[at : at + random_.randrange(1, 64)])
    out[at:at] = piece * random_.choice((1, 1, 1, 4, 200))


def _move(out: bytearray, at: int, random_: Random) -> None:
    start, size = random_.randrange(len(out)), random_.randrange(1, 64)
    out[at : at + size] = out[start : start + size]


def _end(out: bytearray, at: int, random_: Random) -> None:
    if random_.random() < 0.3:
        del out[at + 16 :]


_CHANGES: tuple[Callable[[bytearray, int, Random], None], ...] = (
    _flip, _flip, _set, _set, _word, _word, _step, _cut, _repeat, _move, _end,
)  # fmt: skip
