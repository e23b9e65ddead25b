"""Whatever passes conversion's checks is decoded by TensorFlow, to the pixels that Pillow sees."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from daaf_tf.data.annotations import BadFile, describe_image
from daaf_tf.data.file_structure import BadStructure, check_structure

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
PASSES += ((0, 1, 1, 2),)


def picture(mode: str) -> Image.Image:
    """Return 23 x 37 pixels that change slowly, in a colour mode."""
    noise = np.random.RandomState(0).randint(0, 256, (5, 3, 4), np.uint8)
    # Palettes and bits are made from colours.
    drawn = mode if mode in ("L", "LA", "RGBA", "CMYK") else "RGB"
    channels = [Image.fromarray(noise[..., channel]) for channel in range(4)]
    image = Image.merge(drawn, channels[: len(Image.new(drawn, (1, 1)).getbands())])
    return image.resize((23, 37)).convert(mode)


def encode(mode: str, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + zlib.crc32(checked).to_bytes(4, "big")


def png(header: tuple, *chunks: bytes) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", *header)) + b"".join(chunks)


def interlaced() -> bytes:
    grey = np.asarray(picture("L"))
    lines = b"".join(
        b"\0" + line.tobytes()
        for left, top, right, down in PASSES
        for line in grey[top::down, left::right]
    )
    header = (grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    return png(header, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND"))


GOOD = {
    "jpeg": encode("RGB", "JPEG"),
    "progressive": encode("RGB", "JPEG", progressive=True),
    "restarts": encode("RGB", "JPEG", restart_marker_blocks=2),
    "grey_jpeg": encode("L", "JPEG"),
    "cmyk": encode("CMYK", "JPEG"),
    "comment": encode("RGB", "JPEG", comment=b"\xff\xd9" * 5),
    "trailing": encode("RGB", "JPEG") + b"\0" * 9,
    "png": encode("RGB", "PNG"),
    "grey": encode("L", "PNG"),
    "bits": encode("1", "PNG"),
    "palette": encode("P", "PNG"),
    "small_palette": encode("P", "PNG", bits=4),
    "transparent_palette": encode("P", "PNG", transparency=3),
    "transparent_colour": encode("RGB", "PNG", transparency=(1, 2, 3)),
    "grey_alpha": encode("LA", "PNG"),
    "alpha": encode("RGBA", "PNG"),
    "interlaced": interlaced(),
}


def tensorflow_pixels(encoded: bytes) -> np.ndarray:
    # As daaf_tf.data.preprocess decodes.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE").numpy()


def difference(encoded: bytes) -> int:
    """Return by how many levels TensorFlow's pixels differ from Pillow's at most."""
    pillow = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    return int(np.abs(tensorflow_pixels(encoded).astype(int) - pillow).max())


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_that_passes_has_the_same_pixels_in_tensorflow(name):
    image_format, height, width = describe_image(GOOD[name])
    assert (height, width) == (37, 23)
    assert image_format == ("png" if GOOD[name].startswith(SIGNATURE) else "jpeg")
    assert difference(GOOD[name]) <= (name == "cmyk")


def mend(encoded: bytes) -> bytes:
    """Return a PNG with all checksums put right, so that other checks get their turn."""
    chunks, position = [SIGNATURE], 8
    while position + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        chunks.append(chunk(kind, encoded[position + 8 : position + 8 + length]))
        position += 12 + length
    return b"".join(chunks)


def mutate(encoded: bytes, dice: random.Random) -> bytes:
    mutated = bytearray(encoded)
    end = len(encoded) if dice.random() < 0.5 else min(len(encoded), 700)
    for _ in range(dice.choice((1, 1, 2, 5))):
        place = dice.randrange(end)
        operation = dice.randrange(4)
        if operation == 0:
            mutated[place : place + 1] = bytes([dice.randrange(256)])
        elif operation == 1:
            mutated[place : place + 1] = b"\xff" * dice.randrange(3)
        elif operation == 2:
            del mutated[place : place + dice.choice((1, 2, 10))]
        else:
            mutated[place:place] = dice.choice((b"\0", b"\xff\xe9", b"\xff\xd9"))
    content = bytes(mutated)
    return mend(content) if content.startswith(SIGNATURE) and dice.random() < 0.8 else content


@pytest.mark.parametrize("name", GOOD)
def test_mutated_image_is_refused_or_decoded_alike(name):
    dice = random.Random(name)
    refused = 0
    for _ in range(120):
        mutated = mutate(GOOD[name], dice)
        try:
            describe_image(mutated)
        except BadFile:
            refused += 1
        else:
            assert difference(mutated) <= (name == "cmyk")
    assert refused > 20


def segment(encoded: bytes, marker: int) -> int:
    """Return where a JPEG's segment begins."""
    return encoded.index(bytes([0xFF, marker]))


def without_last_scan(encoded: bytes) -> bytes:
    return encoded[: encoded.rindex(b"\xff\xda")] + b"\xff\xd9"


JPEG, FRAME = GOOD["jpeg"], segment(GOOD["jpeg"], 0xC0)
SCAN = segment(JPEG, 0xDA)
LINES = zlib.compress(b"\0" * 12)
PIXELS, END = chunk(b"IDAT", LINES), chunk(b"IEND")
GREY = (3, 3, 8, 0, 0, 0, 0)
BAD = {
    "nothing": (b"", "no JPEG or PNG"),
    "no_end": (JPEG[:-2], "no end of file mark"),
    "end_swallowed": (JPEG[:-9] + b"\xff\xe9\xff\xff" + JPEG[-5:], "segment E9 is cut off"),
    "short_segment": (JPEG[:2] + b"\xff\xe1\0\1" + JPEG[2:], "segment E1 is cut off"),
    "junk": (JPEG[:FRAME] + b"junk" + JPEG[FRAME:], f"no segment at byte {FRAME}"),
    "lonely_restart": (JPEG[:FRAME] + b"\xff\xd0" + JPEG[FRAME:], "no segment at byte"),
    "lossless": (JPEG[: FRAME + 1] + b"\xc3" + JPEG[FRAME + 2 :], "lossless or arithmetic"),
    "arithmetic": (JPEG[: FRAME + 1] + b"\xc9" + JPEG[FRAME + 2 :], "lossless or arithmetic"),
    "12_bits": (JPEG[: FRAME + 4] + b"\x0c" + JPEG[FRAME + 5 :], "8 bits a channel"),
    "no_frame": (JPEG[:FRAME] + JPEG[FRAME + 19 :], "0 frames and 1 scans"),
    "no_scan": (JPEG[:SCAN] + b"\xff\xd9", "1 frames and 0 scans"),
    "scan_missing": (without_last_scan(GOOD["progressive"]), "without all its scans"),
    "png_no_end": (png(GREY, PIXELS), "no end of file mark"),
    "png_cut": (png(GREY, PIXELS, END)[:-1], "chunk IEND is cut off"),
    "png_checksum": (png(GREY, PIXELS[:-1] + b"\0", END), "chunk IDAT is damaged"),
    "png_unknown": (png(GREY, chunk(b"IDOT"), PIXELS, END), "unknown chunk IDOT"),
    "png_two_headers": (png(GREY, png(GREY)[8:], PIXELS, END), "one header"),
    "png_no_pixels": (png(GREY, END), "and pixels"),
    "png_deep": (png((3, 3, 16, 0, 0, 0, 0), PIXELS, END), "16 bits a channel"),
    "png_no_palette": (png((3, 3, 8, 3, 0, 0, 0), PIXELS, END), "no palette"),
    "png_method": (png((3, 3, 8, 0, 0, 7, 0), PIXELS, END), "unknown kind of PNG"),
    "png_too_few": (png((3, 9, 8, 0, 0, 0, 0), PIXELS, END), "do not fit the header"),
    "png_too_many": (png((3, 2, 8, 0, 0, 0, 0), PIXELS, END), "do not fit the header"),
    "png_cut_pixels": (png(GREY, chunk(b"IDAT", LINES[:-1]), END), "do not fit the header"),
    "png_no_zlib": (png(GREY, chunk(b"IDAT", b"zlib"), END), "incorrect header check"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_structure_is_refused_with_its_reason(name):
    encoded, reason = BAD[name]
    with pytest.raises(BadStructure, match=reason):
        check_structure(encoded)


def test_what_is_refused_only_for_a_detail_passes_without_it():
    check_structure(png(GREY, PIXELS, END))
    check_structure(JPEG)
