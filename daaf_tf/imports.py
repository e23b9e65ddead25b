"""Imports that wait until somebody needs them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os

from daaf_tf.errors import UserError


def import_keras_cv():
    """Import and return keras-cv, which takes three seconds and says which backend it found."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import keras_cv
    return keras_cv


def import_optional(name: str, install: str):
    """Import and return a package that only some need.

    Args:
      name: of the package.
      install: the command that installs it, for the message.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{name} is needed here ({error}); install it: {install}") from error


def import_gradio():
    """Import and return gradio, which makes web pages; it is told to report nothing to anybody.

    Raises:
      UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return import_optional("gradio", "pip install -e .[demo], on Python 3.10 or newer")
