from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tiny_market import gaussian

from daaf_tf.data.annotations import (
    BadFile,
    describe_image,
    locate_peaks,
    make_heatmaps,
    make_mask,
)


def encode(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    return encode_image(Image.fromarray(pixels), kind, **options)


def encode_image(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def noise(height: int = 32, width: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (height, width, channels), np.uint8)


def png_header(width: int, height: int) -> bytes:
    """Return the beginning of a PNG that claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    chunks = (
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_image_is_described(kind, mode):
    encoded = encode_image(Image.fromarray(noise(20, 12)).convert(mode), kind)
    assert describe_image(encoded) == (kind.lower(), 20, 12)


def without_adobe(image: Image.Image) -> bytes:
    """Return a JPEG without the segment that says who wrote it, which Pillow writes first."""
    encoded = encode_image(image, "JPEG")
    assert encoded[6:11] == b"Adobe"
    return encoded[:2] + encoded[4 + int.from_bytes(encoded[4:6], "big") :]


JPEG, PNG = encode(noise(), "JPEG"), encode(noise())
FRAMES = [Image.fromarray(noise()), Image.fromarray(255 - noise())]
BAD_IMAGES = {
    "empty": (b"", "empty file"),
    "text": (b"no picture at all", "no JPEG or PNG"),
    "gif": (encode_image(FRAMES[0], "GIF"), "no JPEG or PNG"),
    "jpeg_cut_early": (JPEG[:200], "truncated"),
    "jpeg_cut_late": (JPEG[:-1], "truncated"),
    "png_cut_early": (PNG[:200], "truncated"),
    "png_cut_late": (PNG[:-1], "truncated"),
    "png_flipped_bit": (PNG[:500] + bytes([PNG[500] ^ 1]) + PNG[501:], "damaged"),
    "unmarked_cmyk": (without_adobe(FRAMES[0].convert("CMYK")), "CMYK without Adobe's mark"),
    "16_bit": (encode(noise()[..., 0].astype(np.uint16) * 256), "16 bits a channel"),
    "animated": (encode_image(FRAMES[0], save_all=True, append_images=FRAMES[1:]), "several"),
    "large": (png_header(6000, 6000), "6000x6000"),
    "absurdly_large": (png_header(50000, 50000), "too large"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image_is_refused_with_its_reason_and_without_warnings(name):
    encoded, reason = BAD_IMAGES[name]
    with pytest.raises(BadFile, match=reason):
        describe_image(encoded)


def test_mutated_images_are_described_or_refused_and_nothing_else():
    dice = random.Random(0)
    refused = 0
    for _ in range(400):
        encoded = bytearray(dice.choice((JPEG, PNG)))
        for _ in range(dice.choice((1, 2, 8))):
            encoded[dice.randrange(len(encoded))] = dice.randrange(256)
        try:
            image_format, height, width = describe_image(bytes(encoded))
        except BadFile:
            refused += 1
        else:
            assert image_format in ("jpeg", "png")
            assert height > 0
            assert width > 0
    assert refused > 100


def test_mask_is_thresholded_at_100():
    ramp = np.arange(256, dtype=np.uint8).reshape(32, 8)
    mask = decode(make_mask(encode(ramp), 32, 8, max_stretch=1.1))
    np.testing.assert_array_equal(mask, np.where(ramp >= 100, 255, 0))


@pytest.mark.parametrize("factor", [0.5, 1, 2, 3])
def test_mask_of_another_size_keeps_its_geometry(factor):
    height, width = int(64 * factor), int(32 * factor)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 2 :] = 255
    resized = decode(make_mask(encode(mask), 64, 32, max_stretch=1.1))
    expected = np.zeros((64, 32), np.uint8)
    expected[16:32, 16:] = 255
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize(
    "mask",
    [
        Image.fromarray(noise()[..., 0]).convert("1"),
        Image.fromarray(noise()[..., 0]),
        Image.fromarray(noise()[..., 0]).convert("RGB"),
    ],
    ids=["1", "L", "RGB"],
)
def test_grey_mask_of_any_mode_is_accepted(mask):
    found = decode(make_mask(encode_image(mask), 32, 16, max_stretch=1.1))
    np.testing.assert_array_equal(found, np.where(np.asarray(mask.convert("L")) >= 100, 255, 0))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (encode(noise()), "coloured"),
        (encode(noise(16, 32, 1)[..., 0]), "another shape"),
        (encode(noise(32, 20, 1)[..., 0]), "another shape"),
        (encode(noise(1, 1, 1)[..., 0]), "another shape"),
        (encode_image(FRAMES[0].convert("P")), "colour mode P"),
        (encode(noise()[..., 0])[:-60], "truncated"),
    ],
)
def test_bad_mask_is_refused(mask, reason):
    with pytest.raises(BadFile, match=reason):
        make_mask(mask, 32, 16, max_stretch=1.1)


def test_rounded_sizes_are_the_same_shape():
    make_mask(encode(noise(10, 4, 1)[..., 0]), 128, 55, max_stretch=1.0)


def random_maps(height: int = 64, width: int = 32, sigma: float = 3.0) -> tuple[list, np.ndarray]:
    dice = np.random.RandomState(3)
    centres = np.stack(
        [dice.uniform(10, width - 10, 17), dice.uniform(10, height - 10, 17)], axis=1
    )
    maps = [gaussian(x, y, height=height, width=width, sigma=sigma) for x, y in centres]
    return maps, centres


def test_maps_are_stacked_top_to_bottom_unchanged_if_not_higher_than_asked():
    maps, _ = random_maps()
    stack, _ = make_heatmaps([encode(m) for m in maps], 32, 16, 1.1, stored_height=64)
    np.testing.assert_array_equal(decode(stack), np.concatenate(maps))


def test_hidden_joint_leaves_its_own_map_empty_and_shifts_no_other():
    maps, _ = random_maps()
    maps[4] = np.zeros_like(maps[4])
    stack, joints = make_heatmaps([encode(m) for m in maps], 32, 16, 1.1)
    stored = decode(stack).reshape(17, 64, 32)
    assert [j for j in range(17) if not stored[j].any()] == [4]
    np.testing.assert_array_equal(joints[4], [0, 0, 0])
    assert (np.delete(joints, 4, axis=0)[:, 2] > 0.9).all()


@pytest.mark.parametrize("stored_height", [128, 100, 64])
def test_reduced_maps_keep_every_joint_in_place(stored_height):
    maps, _ = random_maps(256, 128, sigma=6.0)
    stack, joints = make_heatmaps([encode(m) for m in maps], 128, 64, 1.1, stored_height)
    stored = decode(stack)
    assert stored.shape == (17 * stored_height, stored_height // 2)
    again = locate_peaks(stored.reshape(17, stored_height, stored_height // 2))
    size = np.array([stored_height // 2, stored_height])
    assert np.abs((again - joints)[:, :2] * size).max() < 0.1
    assert np.abs((again - joints)[:, 2]).max() < 0.15  # averaging lowers a peak a little


@pytest.mark.parametrize(
    ("joint", "bad", "reason"),
    [
        (3, encode(np.zeros((64, 34), np.uint8)), "map 03 has 34x64 .* map 00 32x64"),
        (16, b"text", "map 16: no JPEG or PNG"),
        (0, encode(noise(64, 32)), "map 00: coloured"),
    ],
)
def test_bad_map_is_named(joint, bad, reason):
    encoded = [encode(m) for m in random_maps()[0]]
    encoded[joint] = bad
    with pytest.raises(BadFile, match=reason):
        make_heatmaps(encoded, 32, 16, 1.1)


def test_maps_of_another_shape_than_the_image_are_refused():
    with pytest.raises(BadFile, match=r"32x64 \(width x height\).*image's 32x32"):
        make_heatmaps([encode(m) for m in random_maps()[0]], 32, 32, 1.1)


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("peak", [80, 255, 400], ids=["weak", "full", "saturated"])
@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_peak_is_found_to_a_fraction_of_a_pixel(sigma, peak, quality):
    dice = np.random.RandomState(1)
    centres = np.stack([dice.uniform(20, 108, 20), dice.uniform(20, 236, 20)], axis=1)
    maps = [gaussian(x, y, height=256, width=128, sigma=sigma, peak=peak) for x, y in centres]
    if quality:
        maps = [decode(encode(m, "JPEG", quality=quality)) for m in maps]
    joints = locate_peaks(np.stack(maps))
    errors = joints[:, :2] * [128, 256] - 0.5 - centres
    assert np.linalg.norm(errors, axis=1).max() < 0.2
    np.testing.assert_allclose(joints[:, 2], min(peak, 255) / 255, atol=0.06)


def test_peak_at_the_border_is_found_to_half_a_pixel():
    for x, y in [(0, 0), (0.4, 100.3), (127, 255), (126.7, 3.4), (3.3, 252.6), (60.2, 0.3)]:
        heatmap = gaussian(x, y, height=256, width=128, sigma=6)
        found = locate_peaks(heatmap[None])[0, :2] * [128, 256] - 0.5
        assert np.abs(found - [x, y]).max() <= 0.5


def test_mirrored_map_mirrors_the_joint():
    maps = np.stack(random_maps()[0])
    joints, mirrored = locate_peaks(maps), locate_peaks(maps[:, :, ::-1])
    np.testing.assert_allclose(mirrored[:, 0], 1 - joints[:, 0], atol=1e-6)
    np.testing.assert_allclose(mirrored[:, 1:], joints[:, 1:], atol=1e-6)


def test_the_higher_of_two_hills_counts():
    low = gaussian(20, 60, height=128, width=64, sigma=4, peak=180)
    high = gaussian(44, 60, height=128, width=64, sigma=4, peak=240)
    found = locate_peaks(np.maximum(low, high)[None])[0]
    np.testing.assert_allclose(found[:2] * [64, 128] - 0.5, [44, 60], atol=0.1)
