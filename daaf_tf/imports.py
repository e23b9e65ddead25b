"""Imports that wait until somebody needs them."""

from __future__ import annotations

import contextlib
import io


def import_keras_cv():
    """Import and return keras-cv, which takes three seconds and says which backend it found."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import keras_cv
    return keras_cv
