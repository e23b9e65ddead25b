"""Deep attention aware feature learning for person re-identification.

Importing this package chooses the Keras that the whole project is written to (the Keras 2 API as
`tf.keras`) and keeps TensorFlow's start-up messages off the screen. It imports no TensorFlow, so
`daaf_tf.retrieval` works where TensorFlow is not installed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile

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
    if "tensorflow" not in sys.modules and os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":
        sys.meta_path.insert(0, _QuietTensorFlow())


def _find_tensorflow() -> tuple[int, ...] | None:
    """Return (major, minor) of the installed TensorFlow, under whichever name it came."""
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return tuple(int(part) for part in version.split(".")[:2])
    return None


# Lines of level INFO, and the one that explains their form.
_NOTE = re.compile(rb"I\d{4} [\d:.]+ +\d+ |WARNING: All log messages before absl::InitializeLog")


class _QuietTensorFlow:
    """Import hook that drops the notes which TensorFlow 2.21 prints while its libraries load.

    They come from static initialisers, before TF_CPP_MIN_LOG_LEVEL is read, so only the file
    descriptor can hold them back. All other lines are shown once the import is over; a crash inside
    of it takes them along. Set TF_CPP_MIN_LOG_LEVEL=0 to see everything at once.
    """

    def find_spec(self, name, path=None, target=None):
        """Return TensorFlow's own spec with its loading made quiet; None for all else."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _load_quietly(load, module)
        return spec


def _load_quietly(load, module):
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            load(module)
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
            held.seek(0)
            for line in held:
                if not _NOTE.match(line):
                    os.write(2, line)


# TensorFlow 2.15 reports three "errors" and a warning at every import on a machine without CUDA.
# Whoever wants them back sets the variable; real failures still arrive as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_choose_keras()
