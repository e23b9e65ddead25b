"""Files of images, masks and heat maps turned into what a record stores.

Everything here maps bytes to bytes or arrays and raises BadFile with the reason where the bytes are
not what they should be. Nothing here touches the disk.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.data.file_structure import BadStructure, check_structure

# A person crop is some thousands of pixels. What is larger than this would only fill the memory of
# every worker; Pillow's own limit (179 million pixels) is meant for satellite images.
MAX_PIXELS = 2**25

# The published rule: a mask's grey level of 100 or more is person.
MASK_THRESHOLD = 100

# Stored heat maps are decoded for every training image. Decoding a stack of 17 with
# `tf.io.decode_png` took, in one thread and without the 0.17 ms of the call itself, 0.75 ms at
# 256 x 128, 0.20 ms at 128 x 64 and 0.11 ms at 64 x 32; 1,200 images/s on 2 cores leave 1.67 ms for
# all work on an image. 128 x 64 is the size of the targets with last stride 2. Enlarged again to
# the 256 x 128 of last stride 1, a joint's Gaussian (sigma 6 px) has a mean squared error of 1.4e-6
# (values in 0..1), where predicting nothing at all costs 3.4e-3.
HEATMAP_HEIGHT = 128

# Level 1 is not only the fastest to write: its output decodes up to 1.8 times as fast as that of
# levels 6 and 9 (0.20 against 0.40 ms for the stack above) for 30 % more bytes.
_PNG_LEVEL = 1

_FORMATS = {"JPEG": "jpeg", "PNG": "png"}

# What `tf.io.decode_jpeg` turns into the same RGB as Pillow does, without any alpha channel; CMYK
# they round differently, by one level.
_COLOUR_MODES = ("RGB", "L", "P", "1", "LA", "RGBA", "CMYK")


class BadFile(Exception):
    """The bytes are not what they should be; the message is the reason, without the file's name."""


def describe_image(encoded: bytes) -> tuple[str, int, int]:
    """Decode an image once to be sure that it is whole, and describe it.

    Args:
      encoded: bytes of a JPEG or PNG file.

    Returns:
      Format ("jpeg" or "png"), height and width in pixels.

    Raises:
      BadFile: no JPEG or PNG, truncated or damaged, more than MAX_PIXELS, several frames, more
        than 8 bits a channel, or a kind of file that not every decoder reads alike.
    """
    image = _decode(encoded)
    try:
        check_structure(encoded)
    except BadStructure as error:
        raise BadFile(f"damaged, truncated or not supported ({error})") from error
    if image.mode not in _COLOUR_MODES:
        raise BadFile(f"colour mode {image.mode}, expected one of {', '.join(_COLOUR_MODES)}")
    if image.mode == "CMYK" and "adobe" not in image.info:
        raise BadFile("CMYK without Adobe's mark: decoders disagree on what is dark")
    return _FORMATS[image.format], image.height, image.width


def make_mask(encoded: bytes, height: int, width: int, max_stretch: float) -> bytes:
    """Return a mask file as a PNG of the image's size, 0 background and 255 person.

    A mask of another size is resized as a grey picture (bilinear, antialiased) before the
    threshold; pixel centres keep their place.

    Args:
      encoded: bytes of a grey JPEG or PNG of any size.
      height: of the image in pixels.
      width: of the image in pixels.
      max_stretch: how far the mask's height over width may be from the image's, as a factor.

    Raises:
      BadFile: undecodable, coloured, or of another shape than the image.
    """
    mask = _decode_grey(encoded)
    _check_shape(mask.size, (width, height), max_stretch)
    if mask.size != (width, height):
        mask = mask.resize((width, height), Image.Resampling.BILINEAR)
    return _encode_png(mask.point([255 * (level >= MASK_THRESHOLD) for level in range(256)]))


def make_heatmaps(
    encoded: list[bytes],
    height: int,
    width: int,
    max_stretch: float,
    stored_height: int = HEATMAP_HEIGHT,
) -> tuple[bytes, np.ndarray]:
    """Return 17 heat-map files as one PNG, and the joints they show.

    Args:
      encoded: bytes of 17 grey JPEG or PNG files of one size, in COCO order.
      height: of the image in pixels.
      width: of the image in pixels.
      max_stretch: how far the maps' height over width may be from the image's, as a factor.
      stored_height: height of a stored map; lower maps are stored as they are. Higher ones are
        reduced by averages (antialiased); pixel centres keep their place.

    Returns:
      A grey PNG of the 17 maps stacked top to bottom, and [17, 3] float32 from `locate_peaks`.

    Raises:
      BadFile: a map that is undecodable, coloured, of another size than the first, or of another
        shape than the image; the message says which.
    """
    maps = [_decode_map(joint, data) for joint, data in enumerate(encoded)]
    for joint, heatmap in enumerate(maps):
        if heatmap.size != maps[0].size:
            raise BadFile(
                f"map {joint:02d} has {_size(heatmap.size)} pixels, map 00 {_size(maps[0].size)}"
            )
    _check_shape(maps[0].size, (width, height), max_stretch)
    return _encode_png(_stack(maps, stored_height)), locate_peaks(np.stack(maps))


def locate_peaks(maps: np.ndarray) -> np.ndarray:
    """Find the joint in each heat map to a fraction of a pixel.

    The joint is the centre of mass of what rises above half the peak, around the peak. This needs
    no sigma, and unlike a parabola through the peak it stands JPEG noise and saturated peaks:
    within 0.1 px of the truth for Gaussians of sigma 1.5 to 10 px, within 0.5 px where the image
    border cuts the Gaussian.

    Args:
      maps: [J, h, w] uint8.

    Returns:
      [J, 3] float32: x and y in 0..1 of the map's width and height, where pixel column i covers
      i/w..(i+1)/w, so that its centre is (i + 0.5) / w; and visibility, the peak's height in 0..1.
      An empty map gives three zeros. Of several equal peaks the first counts.
    """
    joints = np.zeros((len(maps), 3), np.float32)
    _, height, width = maps.shape
    for joint, heatmap in zip(joints, maps):
        row, column = divmod(int(heatmap.argmax()), width)
        peak = float(heatmap[row, column])
        if peak == 0:
            continue
        rows = _hill(heatmap[:, column], row, peak / 2)
        columns = _hill(heatmap[row], column, peak / 2)
        weights = np.maximum(heatmap[rows, columns] - peak / 2, 0)
        y = weights.sum(axis=1) @ np.arange(rows.start, rows.stop) / weights.sum()
        x = weights.sum(axis=0) @ np.arange(columns.start, columns.stop) / weights.sum()
        joint[:] = (x + 0.5) / width, (y + 0.5) / height, peak / 255
    return joints


def _hill(line: np.ndarray, peak: int, level: float) -> slice:
    """Return the run of values above `level` around index `peak` of a line.

    A run that the border cuts off is shortened on the other side to match, else the centre of mass
    would be drawn inwards.
    """
    low = np.flatnonzero(line <= level)
    after = np.searchsorted(low, peak)
    start = low[after - 1] + 1 if after > 0 else 0
    stop = low[after] if after < len(low) else len(line)
    if start == 0 or stop == len(line):
        reach = min(peak - start, stop - 1 - peak)
        start, stop = peak - reach, peak + reach + 1
    return slice(int(start), int(stop))


def _stack(maps: list[Image.Image], stored_height: int) -> Image.Image:
    width, height = maps[0].size
    if height > stored_height:
        width, height = max(1, round(width * stored_height / height)), stored_height
        # The gap of 1 averages whole pixels as far as they go (256 to 128 entirely), in a quarter
        # of the time, and leaves only the rest to the bilinear filter.
        maps = [
            heatmap.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0)
            for heatmap in maps
        ]
    stack = Image.new("L", (width, height * schema.NUM_JOINTS))
    for joint, heatmap in enumerate(maps):
        stack.paste(heatmap, (0, joint * height))
    return stack


def _decode(encoded: bytes) -> Image.Image:
    """Decode a JPEG or PNG whole."""
    try:
        with warnings.catch_warnings():
            # About metadata, and about sizes that are checked below.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded), formats=tuple(_FORMATS))
            if image.width * image.height > MAX_PIXELS:
                raise BadFile(f"{_size(image.size)} pixels, expected {MAX_PIXELS} or fewer")
            if image.format not in _FORMATS or getattr(image, "n_frames", 1) > 1:
                raise BadFile("several pictures in one file, expected one")
            image.load()
    except BadFile:
        raise
    except Image.DecompressionBombError as error:
        raise BadFile(f"too large ({error})") from error
    except Image.UnidentifiedImageError:
        raise BadFile("no JPEG or PNG" if encoded else "empty file") from None
    except Exception as error:
        # Pillow's parsers raise whatever they stumble over in damaged bytes (OSError, SyntaxError,
        # ValueError, struct.error, ...); none of it is a fault of ours to be shown as a trace.
        raise BadFile(f"damaged or truncated ({error})") from error
    return image


def _decode_grey(encoded: bytes) -> Image.Image:
    """Decode a grey picture; RGB passes if its channels agree."""
    image = _decode(encoded)
    if image.mode == "RGB":
        darkest, lightest = np.asarray(image).min(axis=2), np.asarray(image).max(axis=2)
        if (lightest - darkest).max() > 8:
            raise BadFile("coloured, expected a grey picture")
    elif image.mode not in ("L", "1"):
        raise BadFile(f"colour mode {image.mode}, expected 8-bit grey")
    return image.convert("L")


def _decode_map(joint: int, encoded: bytes) -> Image.Image:
    try:
        return _decode_grey(encoded)
    except BadFile as error:
        raise BadFile(f"map {joint:02d}: {error}") from error


def _check_shape(size: tuple[int, int], image_size: tuple[int, int], max_stretch: float) -> None:
    """Refuse an annotation that cannot belong to the image: another ratio of height to width.

    Both sizes are (width, height). One pixel of rounding is always allowed, up to a factor of 1.5.
    """
    (width, height), (image_width, image_height) = size, image_size
    stretch = (height * image_width) / (width * image_height)
    rounding = 1 + 1 / min(width, height) + 1 / min(image_width, image_height)
    if max(stretch, 1 / stretch) > max(max_stretch, min(rounding, 1.5)):
        raise BadFile(
            f"{_size(size)} pixels, which is another shape than the image's {_size(image_size)}"
        )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (width x height)"


def _encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()
