"""Folders to records to batches."""

from __future__ import annotations

__all__ = ["make_eval_batches", "make_train_batches"]


def __getattr__(name: str):
    # Looked up only when asked for (PEP 562), because it imports TensorFlow: the programs that
    # write records need this package too, and start in a tenth of a second instead of seconds.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from daaf_tf.data import pipeline

    return getattr(pipeline, name)
