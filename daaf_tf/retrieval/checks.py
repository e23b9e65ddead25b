"""What is refused before anything is computed."""

from __future__ import annotations

import numpy as np

from daaf_tf.errors import UserError


def check_integers(name: str, values: np.ndarray, length: int) -> np.ndarray:
    """Return values as int64 if they are whole numbers, one for each image.

    Raises:
      UserError: otherwise.
    """
    values = np.asarray(values)
    if values.shape != (length,) or values.dtype.kind not in "iu":
        raise UserError(
            f"{name}: expected {length} whole numbers, one for each image; "
            f"received {values.dtype} of shape {list(values.shape)}"
        )
    return values.astype(np.int64)


def check_whole_number(name: str, value: int, least: int) -> None:
    """Refuse what is no whole number, or less than `least`.

    Raises:
      UserError: such a value.
    """
    if not isinstance(value, (int, np.integer)) or value < least:
        raise UserError(f"{name} {value!r}: expected a whole number, {least} or more")
