"""tensorflow-addons, an optional provider; no other module imports it.

It is at its end of life and has no release for Python 3.12 and newer. What is offered from it is
for comparison; the recipes do without.
"""

from __future__ import annotations

import types
import warnings

from daaf_tf.errors import UserError


def load_addons(flag: str, *, instead: str) -> types.ModuleType:
    """Import tensorflow-addons, without the two warnings that it gives at its import.

    Args:
      flag: what asks for it, as it is written on the command line.
      instead: what to use where it does not exist, written likewise.

    Returns:
      The module `tensorflow_addons`.

    Raises:
      UserError: it is not installed, or does not go with the installed TensorFlow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import tensorflow_addons
        except ImportError as error:
            raise UserError(
                f"{flag} needs tensorflow-addons, which cannot be imported ({error}). It exists "
                f"for Python 3.9 to 3.11 and is installed there with daaf_tf; use {instead} instead"
            ) from error
    return tensorflow_addons
