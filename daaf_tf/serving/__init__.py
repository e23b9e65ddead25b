"""SavedModel: written by training's side, loaded by anybody's."""

from __future__ import annotations

from daaf_tf.serving.embedder import Embedder, load

__all__ = ["Embedder", "ExportOptions", "load", "write_saved_model"]


def __getattr__(name: str):
    # Who only loads a SavedModel shall need TensorFlow alone, not what the data package imports.
    if name in ("ExportOptions", "write_saved_model"):
        from daaf_tf.serving import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
