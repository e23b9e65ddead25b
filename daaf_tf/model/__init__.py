"""The network: backbone, embedding head, attention branches."""

from __future__ import annotations

from daaf_tf.model.backbones import resolve_backbone
from daaf_tf.model.daaf import backbone_model, build_daaf, embedding_model, start_copies

__all__ = ["backbone_model", "build_daaf", "embedding_model", "resolve_backbone", "start_copies"]
