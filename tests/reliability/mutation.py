"""From valid bytes to damaged ones, by a number: the same number gives the same bytes everywhere."""

import random
import struct

__all__ = ["mutated"]

# Lengths, offsets and counts that are off by one from a power of two, and words that mean something somewhere.
_NUMBERS = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 62,
    (1 << 64) - 1,
]
_WORDS = [b"null", b"NaN", b"Infinity", b"1e999", b"-1", b"[" * 3000, b"{}", b"\0", b"\xff\xfe", b"../", b"&a *a", b"!!python/name:os.system ", b"\n", b'"']  # fmt: skip


def mutated(seeds, number):
    """One damaged input.

    Args:
        seeds: valid inputs.
        number: which of them.
    """
    source = random.Random(number)
    data = bytearray(source.choice(seeds))
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        source.choice(_DAMAGES)(data, source)
    return bytes(data)


def _place(data, source):
    return source.randrange(len(data) + 1)


def _cut(data, source):
    del data[_place(data, source) :]


def _flip(data, source):
    if data:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _replace(data, source):
    if data:
        data[source.randrange(len(data))] = source.randrange(256)


def _remove(data, source):
    place = _place(data, source)
    del data[place : place + source.choice((1, 2, 4, 8, 64))]


def _repeat(data, source):
    place = _place(data, source)
    data[place:place] = data[place : place + source.choice((1, 4, 16, 256))]


def _number(data, source):
    packed = struct.pack("<Q", source.choice(_NUMBERS))[: source.choice((1, 2, 4, 8))]
    place = _place(data, source)
    data[place : place + len(packed)] = packed


def _word(data, source):
    place = _place(data, source)
    data[place : place + source.choice((0, 1, 4))] = source.choice(_WORDS)


_DAMAGES = (_cut, _flip, _flip, _replace, _replace, _remove, _repeat, _number, _number, _word)
