"""What a setting is: a dataclass field that knows its help and its allowed values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from daaf_tf.errors import UserError


def setting(default, help_text, *, choices=None, minimum=None, maximum=None):
    """Declare a dataclass field with what its check and its flag need to know.

    Args:
      default: default value; its type is the type of the setting: bool, int, float, str, or a
        tuple of int.
      help_text: one line for `--help`.
      choices: allowed values, or None for any.
      minimum: smallest allowed number (inclusive), or None.
      maximum: largest allowed number (inclusive), or None.
    """
    metadata = {"help": help_text, "choices": choices, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Section:
    """A group of settings; one that exists holds allowed values only.

    Raises:
      UserError: when made with a value that is not allowed; the message has the setting's name,
        written as a flag, the value, and what is allowed.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = _check(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Raise a UserError if settings that are allowed by themselves do not go together."""


def _check(field: dataclasses.Field, value: Any) -> Any:
    """Return the value in its field's type if it is allowed."""
    name, expected = field.name, type(field.default)
    if expected is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise UserError(f"--{name}: the number is too large") from None
    if type(value) is not expected:
        raise UserError(f"--{name}={value!r}: expected a value of type {expected.__name__}")
    if expected is tuple and not all(type(item) is int for item in value):
        raise UserError(f"--{name}={value!r}: expected whole numbers")
    if expected is str and (value != value.strip() or len(value.splitlines()) > 1):
        raise UserError(f"--{name}={value!r}: expected text without blanks around it or line ends")
    if expected is float and not math.isfinite(value):
        raise UserError(f"--{name}={value}: expected a finite number")
    choices, minimum, maximum = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if choices is not None and value not in choices:
        raise UserError(f"--{name}={value}: expected one of {', '.join(map(str, choices))}")
    if minimum is not None and value < minimum:
        raise UserError(f"--{name}={value}: expected {minimum} or more")
    if maximum is not None and value > maximum:
        raise UserError(f"--{name}={value}: expected {maximum} or less")
    return value
