"""The whole network for training, and the part of it that is used at test time."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model.attention import holistic_attention, partial_attention
from daaf_tf.model.heads import identity_head, trinet_head
from daaf_tf.model.resnet import resnet_features


def build_daaf(config: Config) -> tf.keras.Model:
    """Build the network that is trained: backbone, heads and attention branches.

    It computes in the dtype of the global mixed-precision policy and gives out float32. Weights
    are drawn from Keras' global random seed (`tf.keras.utils.set_random_seed`).

    Args:
      config: its `model` section says what is built; besides that it gives the image size and
        whether an id loss is trained.

    Returns:
      A functional model from [B, image_height, image_width, 3] float32 normalised images to a
      dict of float32 tensors:
        embedding: [B, embedding_size], not normalised;
        mask: [B, h, w, 1] in 0..1 with (h, w) = config.target_size, if `hab`;
        keypoints: [B, h, w, 17] in 0..1 in COCO order, if `pab`;
        logits: [B, num_identities], if `identity_weight` is above 0.

    Raises:
      UserError: an id loss without a number of identities.
    """
    model = config.model
    image = tf.keras.Input(
        (config.data.image_height, config.data.image_width, 3), name=schema.IMAGE
    )
    features = resnet_features(
        image,
        backbone=model.backbone,
        width=model.backbone_width,
        last_stride=model.last_stride,
    )
    embedding = trinet_head(
        features, hidden_units=model.head_units, embedding_size=model.embedding_size
    )
    outputs = {schema.EMBEDDING: embedding}
    # Before the branches, so that one seed gives the same start with and without them.
    if config.loss.identity_weight > 0:
        if not model.num_identities:
            raise UserError(
                f"--identity_weight={config.loss.identity_weight} trains an id loss, which needs "
                "--num_identities of 1 or more, received 0; training takes it from the records"
            )
        outputs[schema.LOGITS] = identity_head(embedding, num_identities=model.num_identities)
    decoder = {
        "channels": model.decoder_channels,
        "kernel_size": model.decoder_kernel_size,
        "norm": model.decoder_norm,
    }
    if model.hab:
        outputs[schema.MASK] = holistic_attention(features, **decoder)
    if model.pab:
        outputs[schema.KEYPOINTS] = partial_attention(features, **decoder)
    return tf.keras.Model(image, outputs, name="daaf")


def embedding_model(model: tf.keras.Model) -> tf.keras.Model:
    """Cut a network down to what is used at test time; it shares the network's weights.

    Args:
      model: a model that `build_daaf` made.

    Returns:
      A functional model from images to [B, D] float32 embeddings. Neither the attention branches
      nor the logits are in it: it is the plain baseline's, op for op.
    """
    return tf.keras.Model(model.input, model.output[schema.EMBEDDING], name="embedding_model")


def backbone_model(model: tf.keras.Model) -> tf.keras.Model:
    """Cut a network down to its backbone; it shares the network's weights.

    Args:
      model: a model that `build_daaf` made.

    Returns:
      The part from the image to the last feature map, [B, h, w, C], which a head pools. A backbone
      that is a model of its own inside the network is returned as that model.
    """
    pool = next(
        layer for layer in model.layers if isinstance(layer, tf.keras.layers.GlobalAveragePooling2D)
    )
    backbone = tf.keras.Model(model.input, pool.input, name="backbone_model")
    inner = [layer for layer in backbone.layers if isinstance(layer, tf.keras.Model)]
    return inner[0] if inner else backbone
