"""SavedModel: written by training's side, loaded by anybody's; and galleries to search with it."""

from __future__ import annotations

__all__ = [
    "Embedder",
    "ExportOptions",
    "Gallery",
    "Hit",
    "load",
    "open_gallery",
    "write_saved_model",
]


def __getattr__(name: str):
    # Looked up only when asked for (PEP 562). Who only loads a SavedModel shall need TensorFlow
    # alone, not what the data package imports; who searches by features shall not need TensorFlow.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("ExportOptions", "write_saved_model"):
        from daaf_tf.serving import export as module
    elif name in ("Embedder", "load"):
        from daaf_tf.serving import embedder as module
    else:
        from daaf_tf.serving import gallery as module
    return getattr(module, name)
