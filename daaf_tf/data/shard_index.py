"""Where each record of a shard lies: TFRecord framing, the index beside a shard, and its repair."""

from __future__ import annotations

import os
import pathlib
import struct

import google_crc32c
import numpy as np
from absl import logging

from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically

# Framing of a TFRecord: uint64 length, masked CRC of the length, data, masked CRC of the data.
HEADER_BYTES = 12
FOOTER_BYTES = 4
_FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES


def index_path(shard: str | os.PathLike) -> pathlib.Path:
    """Return the path of the index that belongs to a shard."""
    return pathlib.Path(shard).with_suffix(".index")


def masked_crc(data: bytes) -> bytes:
    """Return the 4 bytes of the CRC-32C that TFRecord files carry (rotated and shifted)."""
    crc = google_crc32c.value(data)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


def make_header(data: bytes) -> bytes:
    """Return the 12 bytes before a record's data: its length and the length's checksum."""
    return _length_header(len(data))


def open_frame(frame: bytes, length: int) -> bytes:
    """Return the data in a record's frame; a ValueError says which of its checksums is wrong.

    Args:
      frame: the bytes as read.
      length: how many they should be.
    """
    header, data = frame[:HEADER_BYTES], frame[HEADER_BYTES:-FOOTER_BYTES]
    if len(frame) != length or header != make_header(data):
        raise ValueError("wrong length")
    if frame[-FOOTER_BYTES:] != masked_crc(data):
        raise ValueError("wrong checksum")
    return data


def read_index(shard: pathlib.Path, images: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and length of each record of a shard; rebuild the index if there is none.

    Args:
      shard: path of the shard.
      images: records that the manifest says it has.
      size: bytes that the manifest says it has.

    Returns:
      Two [images] int64: where each record's frame begins, and how long it is.

    Raises:
      UserError: no such shard, or one of another size; an index that does not fit it; no index, and
        records that cannot be followed from one to the next.
    """
    path = index_path(shard)
    try:
        found = os.path.getsize(shard)
    except OSError as error:
        raise UserError(
            f"{shard}: {error.strerror}; manifest.json names it: convert the data set again"
        ) from error
    if found != size:
        raise UserError(
            f"{shard}: {found} bytes, expected {size} by manifest.json; one of the two was cut off "
            "or changed: convert the data set again"
        )
    try:
        entries = np.array(path.read_bytes().split(), dtype=np.int64)
    except FileNotFoundError:
        return _rebuild_index(shard, images)
    except OSError as error:
        raise UserError(f"{path}: unreadable ({error.strerror}); {_ADVICE}") from error
    except (OverflowError, ValueError) as error:
        raise UserError(f"{path}: expected two whole numbers a line ({error}); {_ADVICE}") from None
    if len(entries) != 2 * images:
        raise UserError(
            f"{path}: {len(entries)} numbers, expected {2 * images} ({images} records by "
            f"manifest.json); {_ADVICE}"
        )
    offsets, lengths = entries.reshape(images, 2).T.copy()
    ends = np.cumsum(lengths)
    adjoining = np.array_equal(offsets, ends - lengths) and (not images or ends[-1] == size)
    if not adjoining or (lengths < _FRAME_BYTES).any():
        raise UserError(f"{path}: does not fit its shard {shard.name}; {_ADVICE}")
    return offsets, lengths


_ADVICE = "delete the index, and it is rebuilt from the shard"


def scan_shard(shard: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Return offset and length of each record by going through the shard from length to length.

    Every length is held against its own checksum; the data is not read.

    Raises:
      UserError: a length that is corrupt or leads beyond the end; names shard, record and byte.
    """
    offsets, lengths = [], []
    try:
        size, offset = os.path.getsize(shard), 0
        # Unbuffered: 12 bytes are wanted of each record, and the rest is jumped over.
        with open(shard, "rb", buffering=0) as file:
            while offset < size:
                header = os.pread(file.fileno(), HEADER_BYTES, offset)
                (length,) = struct.unpack("<Q", header[:8].ljust(8, b"\0"))
                end = offset + length + _FRAME_BYTES
                if header != _length_header(length) or end > size:
                    raise UserError(
                        f"{shard}: record {len(offsets)} at byte {offset} is corrupt (wrong "
                        "length), so no index can be built: convert the data set again"
                    )
                offsets.append(offset)
                lengths.append(end - offset)
                offset = end
    except OSError as error:
        raise UserError(f"{shard}: cannot read the shard ({error.strerror})") from error
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


def _rebuild_index(shard: pathlib.Path, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Scan a shard that has no index, and write the index, whole or not at all."""
    path = index_path(shard)
    offsets, lengths = scan_shard(shard)
    if len(offsets) != images:
        raise UserError(
            f"{shard}: {len(offsets)} records, expected {images} by manifest.json; "
            "convert the data set again"
        )
    lines = "".join(f"{offset} {length}\n" for offset, length in zip(offsets, lengths))
    try:
        write_atomically(path, lines)
    except OSError as error:
        # A read-only folder: what was scanned serves this run, and the next one scans again.
        logging.warning("%s: missing, rebuilt but not written (%s)", path, error.strerror)
    else:
        logging.warning("%s: missing, rebuilt from the shard (%d records)", path, images)
    return offsets, lengths


def _length_header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + masked_crc(packed)
