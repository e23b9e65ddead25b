"""The heads on the backbone's last feature map: TriNet's or Bag of Tricks', and id logits.

All compute in float32 whatever the global precision policy is.
"""

from __future__ import annotations

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.model.resnet import BATCH_NORM

layers = tf.keras.layers

POOL = "head_pool"  # the layer that takes the backbone's last feature map


def trinet_head(features, *, hidden_units=1024, embedding_size=128):
    """Turn feature maps into embeddings: average pooling, FC, batch norm, ReLU, linear FC.

    Args:
      features: [B, h, w, C] float.
      hidden_units: units of the first fully connected layer; its bias is left to the batch norm.
      embedding_size: D.

    Returns:
      [B, D] float32, not normalised, of a layer named `embedding`.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017.
    """
    x = layers.GlobalAveragePooling2D(dtype="float32", name=POOL)(features)
    x = layers.Dense(hidden_units, use_bias=False, dtype="float32", name="head_fc")(x)
    x = layers.BatchNormalization(**BATCH_NORM, dtype="float32", name="head_bn")(x)
    x = layers.ReLU(dtype="float32", name="head_relu")(x)
    return layers.Dense(
        embedding_size,
        kernel_initializer=tf.keras.initializers.Orthogonal(),
        dtype="float32",
        name=schema.EMBEDDING,
    )(x)


def bnneck_head(features):
    """Pool feature maps and normalise the result: the BNNeck.

    The triplet and centre losses see the feature before the batch norm, the id loss and retrieval
    the one after it.

    Args:
      features: [B, h, w, C] float.

    Returns:
      Two [B, C] float32: of a layer named `feature`, and of a layer named `embedding`.

    Source: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-Identification, 2019.
    """
    x = layers.GlobalAveragePooling2D(dtype="float32", name=POOL)(features)
    feature = layers.Activation("linear", dtype="float32", name=schema.FEATURE)(x)
    return feature, _norm_without_offset(x, name=schema.EMBEDDING)


def identity_head(embedding, *, num_identities, norm=True):
    """Score the training identities: batch norm without offset, then FC without bias.

    Args:
      embedding: [B, D] float32.
      num_identities: N, identities in the training set.
      norm: whether to normalise first; the embedding of a BNNeck is normalised already.

    Returns:
      [B, N] float32 logits of a layer named `logits`.

    Source: as `bnneck_head`; the kernel starts as its authors' code has it.
    """
    x = _norm_without_offset(embedding, name="logits_bn") if norm else embedding
    return layers.Dense(
        num_identities,
        use_bias=False,
        kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.001),
        dtype="float32",
        name=schema.LOGITS,
    )(x)


def _norm_without_offset(x, *, name):
    """Normalise each channel over the batch, scaled but not shifted."""
    return layers.BatchNormalization(center=False, **BATCH_NORM, dtype="float32", name=name)(x)
