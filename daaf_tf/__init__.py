"""Deep attention aware feature learning for person re-identification.

Importing this package chooses the Keras that the whole project is written to (the Keras 2 API as
`tf.keras`) and keeps TensorFlow's start-up messages off the screen. It imports no TensorFlow, so
`daaf_tf.retrieval` works where TensorFlow is not installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys

__version__ = "0.1.0"


def _choose_keras() -> None:
    """Make `tf.keras` mean Keras 2, whatever TensorFlow is installed.

    TensorFlow 2.15 has Keras 2 built in and breaks when asked for the legacy one; TensorFlow 2.16
    and newer has it as the package tf_keras, and takes it only if asked before it is imported.
    """
    version = _find_tensorflow()
    if version is None:
        return
    if version < (2, 16):
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
        return
    asked = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")
    if "tensorflow" in sys.modules and not asked:
        raise ImportError(
            "daaf_tf needs Keras 2, but TensorFlow was imported first and has chosen Keras 3: "
            "import daaf_tf before tensorflow, or set TF_USE_LEGACY_KERAS=1 in the environment."
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"


def _find_tensorflow() -> tuple[int, ...] | None:
    """Return (major, minor) of the installed TensorFlow, under whichever name it came."""
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return tuple(int(part) for part in version.split(".")[:2])
    return None


# TensorFlow 2.15 reports three "errors" and a warning at every import on a machine without CUDA.
# Whoever wants them back sets the variable; real failures still arrive as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_choose_keras()
