"""The structure of JPEG and PNG files, read as strictly as the strictest decoder reads it.

Pillow decodes some damaged files that TensorFlow's decoder refuses, and a few otherwise than it. A
record must not hold such an image: it would stop a training run days later. Conversion does not
import TensorFlow (seconds and 400 MB for each worker), so what Pillow forgives is looked for here.
"""

from __future__ import annotations

import re
import struct
import zlib

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PALETTE = 3  # colour type
_PNG_CHANNELS = {0: 1, 2: 3, _PNG_PALETTE: 1, 4: 2, 6: 4}  # by colour type
# Left, top, step to the right, step down: an interlaced PNG is seven small pictures.
_PNG_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")

_JPEG_START, _JPEG_END = b"\xff\xd8", 0xD9
_JPEG_SCAN = 0xDA
# Baseline, extended and progressive, with Huffman codes: what every decoder knows. The others of
# C0..CF, without the tables C4 and CC and the reserved C8, are lossless, hierarchical, arithmetic.
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
_JPEG_PROGRESSIVE = 0xC2
_JPEG_OTHER_FRAMES = set(range(0xC0, 0xD0)) - _JPEG_FRAMES - {0xC4, 0xC8, 0xCC}
# In a scan FF 00 is a byte of data and FF D0 .. FF D7 are restart marks: any other FF ends it.
_JPEG_SCAN_END = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


class BadStructure(Exception):
    """The file is not built as its format demands; the message is the reason."""


def check_structure(encoded: bytes) -> None:
    """Check that a JPEG or PNG file is whole and of a kind that every decoder reads alike.

    Args:
      encoded: bytes of a file that Pillow takes for a JPEG or PNG.

    Raises:
      BadStructure: a segment or chunk is cut off, damaged (PNG), out of place or unknown; the end
        mark is missing; more than 8 bits a channel; a JPEG that is lossless or arithmetic-coded.
    """
    if encoded.startswith(_PNG_SIGNATURE):
        _check_png(encoded)
    elif encoded.startswith(_JPEG_START):
        _check_jpeg(encoded)
    else:
        raise BadStructure("no JPEG or PNG")


def _check_jpeg(encoded: bytes) -> None:
    position, frames, scans = len(_JPEG_START), [], []
    while True:
        marker, position = _read_marker(encoded, position)
        if marker == _JPEG_END:
            break
        length = int.from_bytes(encoded[position : position + 2], "big")
        content = encoded[position + 2 : position + length]
        position += length
        if length < 2 or position > len(encoded):
            raise BadStructure(f"segment {marker:02X} is cut off")
        if marker in _JPEG_OTHER_FRAMES:
            raise BadStructure("a lossless or arithmetic-coded JPEG, expected an ordinary one")
        if marker in _JPEG_FRAMES:
            frames.append((marker, content))
        elif marker == _JPEG_SCAN:
            scans.append(content)
            end = _JPEG_SCAN_END.search(encoded, position)
            position = end.start() if end else len(encoded)
    if len(frames) != 1 or not scans:
        raise BadStructure(f"{len(frames)} frames and {len(scans)} scans, expected one and some")
    (kind, frame), *_ = frames
    if frame[:1] != b"\x08":
        raise BadStructure("expected a JPEG of 8 bits a channel")
    if kind == _JPEG_PROGRESSIVE:
        _check_scans(frame[6::3], scans)


def _check_scans(components: bytes, scans: list[bytes]) -> None:
    """Check that the scans of a progressive JPEG bring every coefficient to its last bit.

    What is missing, decoders make up by smoothing, each version in its own way.
    """
    missing = {component: set(range(64)) for component in components}
    for scan in scans:
        names, (first, last, bits) = scan[1:-3:2], scan[-3:] if len(scan) > 3 else b"\0\0\1"
        for component in names:
            if bits & 15 == 0 and component in missing:
                missing[component] -= set(range(first, last + 1))
    if any(missing.values()):
        raise BadStructure("a progressive JPEG without all its scans")


def _read_marker(encoded: bytes, position: int) -> tuple[int, int]:
    """Return the marker at a position, which FF bytes may fill up, and the position after it."""
    start = position
    while encoded[position : position + 1] == b"\xff":
        position += 1
    if position >= len(encoded):
        raise BadStructure("no end of file mark")
    if position == start or encoded[position] < 0xC0 or 0xD0 <= encoded[position] <= 0xD8:
        raise BadStructure(f"no segment at byte {start}")
    return encoded[position], position + 1


def _check_png(encoded: bytes) -> None:
    position, kinds, data = len(_PNG_SIGNATURE), [], []
    while not kinds or kinds[-1] != b"IEND":
        head = encoded[position : position + 8]
        if len(head) < 8:
            raise BadStructure("no end of file mark")
        length, kind = struct.unpack(">I4s", head)
        name, end = kind.decode("ascii", "backslashreplace"), position + 8 + length
        if end + 4 > len(encoded):
            raise BadStructure(f"chunk {name} is cut off")
        checked = memoryview(encoded)[position + 4 : end]
        if encoded[end : end + 4] != zlib.crc32(checked).to_bytes(4, "big"):
            raise BadStructure(f"chunk {name} is damaged")
        if not kind.isalpha() or (kind[:1].isupper() and kind not in _PNG_CRITICAL):
            raise BadStructure(f"unknown chunk {name}")
        kinds.append(kind)
        if kind == b"IDAT":
            data.append(checked[4:])
        position = end + 4
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") != 1 or not data:
        raise BadStructure("expected one header, in the first place, and pixels")
    header = encoded[16:29]
    if header[9] == _PNG_PALETTE and b"PLTE" not in kinds[: kinds.index(b"IDAT")]:
        raise BadStructure("no palette")
    _check_pixels(b"".join(data), _count_pixel_bytes(header))


def _count_pixel_bytes(header: bytes) -> int:
    """Return how many bytes the lines of a PNG have, decompressed, from the 13 of its header."""
    width, height, depth, colours, *methods = struct.unpack(">II5B", header)
    if depth > 8:
        raise BadStructure(f"{depth} bits a channel, expected 8")
    if colours not in _PNG_CHANNELS or methods not in ([0, 0, 0], [0, 0, 1]):
        raise BadStructure("unknown kind of PNG")
    total = 0
    for left, top, right, down in _PNG_PASSES if methods[2] else ((0, 0, 1, 1),):
        columns, lines = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0:
            # Each line begins with the number of its filter.
            total += lines * (1 + (columns * depth * _PNG_CHANNELS[colours] + 7) // 8)
    return total


def _check_pixels(data: bytes, expected: int) -> None:
    """Check that pixels decompress to as many bytes as expected: Pillow forgives a few too many."""
    decompressor = zlib.decompressobj()
    try:
        found = len(decompressor.decompress(data, expected + 1))
    except zlib.error as error:
        raise BadStructure(str(error)) from None
    if found != expected or not decompressor.eof:
        raise BadStructure("the pixels do not fit the header")
