"""The whole network for training, and the part of it that is used at test time."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model.attention import holistic_attention, partial_attention
from daaf_tf.model.backbones import backbone_features, later_stages
from daaf_tf.model.centres import centre_distances
from daaf_tf.model.heads import POOL, bnneck_head, identity_head, trinet_head
from daaf_tf.model.normalization import synchronize_batch_norm
from daaf_tf.sections.model import BNNECK, OWN_COPY

_COPY_PREFIX = "hab_"  # before the names of the layers of HAB's own copy


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
        embedding: [B, D], not normalised; D is embedding_size, or with the head bnneck the number
          of the backbone's channels;
        feature: [B, D], what the embedding is the batch norm of, with the head bnneck;
        mask: [B, h, w, 1] with (h, w) = config.target_size, if `hab`;
        keypoints: [B, h, w, 17] in COCO order, if `pab`; both in 0..1 unless `decoder_output` is
          linear;
        logits: [B, num_identities], if `identity_weight` is above 0;
        centre_distances: [B, num_identities], if `centre_weight` is above 0.

    Raises:
      UserError: an id or centre loss without a number of identities, a keras-cv backbone that
        cannot be built or is another than the config says (see `resolve_backbone`), or branches
        that need more channels than it has.
    """
    model = config.model
    image = tf.keras.Input(
        (config.data.image_height, config.data.image_width, 3), name=schema.IMAGE
    )
    features, first_stage = backbone_features(image, model)
    _check_feature_map(features, config)
    # Before the branches, so that one seed gives the same start with and without them.
    outputs = _build_head(features, config)
    if model.hab:
        seen = features
        if model.hab_input == OWN_COPY:
            seen = later_stages(first_stage, model, prefix=_COPY_PREFIX)
        outputs[schema.MASK] = holistic_attention(seen, model)
    if model.pab:
        outputs[schema.KEYPOINTS] = partial_attention(features, model)
    network = tf.keras.Model(image, outputs, name="daaf")
    return synchronize_batch_norm(network) if model.sync_batch_norm else network


def _build_head(features: tf.Tensor, config: Config) -> dict[str, tf.Tensor]:
    """Return the embedding and what the losses beside the branches' need, by output name."""
    model, loss = config.model, config.loss
    if model.head == BNNECK:
        feature, embedding = bnneck_head(features)
        outputs = {schema.EMBEDDING: embedding, schema.FEATURE: feature}
    else:
        feature = embedding = trinet_head(
            features, hidden_units=model.head_units, embedding_size=model.embedding_size
        )
        outputs = {schema.EMBEDDING: embedding}
    for name in ("identity_weight", "centre_weight"):
        if getattr(loss, name) > 0 and not model.num_identities:
            raise UserError(
                f"--{name}={getattr(loss, name)} trains a loss over the training identities, which "
                "needs --num_identities of 1 or more, received 0; training takes it from the "
                "records"
            )
    if loss.identity_weight > 0:
        outputs[schema.LOGITS] = identity_head(
            embedding, num_identities=model.num_identities, norm=model.head != BNNECK
        )
    if loss.centre_weight > 0:
        outputs[schema.CENTRE_DISTANCES] = centre_distances(
            feature, num_identities=model.num_identities
        )
    return outputs


def embedding_model(model: tf.keras.Model) -> tf.keras.Model:
    """Cut a network down to what is used at test time; it shares the network's weights.

    Args:
      model: a model that `build_daaf` made.

    Returns:
      A functional model from images to [B, D] float32 embeddings. Neither the attention branches
      nor logits or centres are in it: it is the plain baseline's, op for op.
    """
    return tf.keras.Model(model.input, model.output[schema.EMBEDDING], name="embedding_model")


def backbone_model(model: tf.keras.Model) -> tf.keras.Model:
    """Cut a network down to its backbone; it shares the network's layers and weights.

    Args:
      model: a model that `build_daaf` made.

    Returns:
      The part from the image to the last feature map, [B, h, w, C], which a head pools. A backbone
      that is a model of its own inside the network is returned as that model.
    """
    backbone = tf.keras.Model(model.input, model.get_layer(POOL).input, name="backbone_model")
    inner = [layer for layer in backbone.layers if isinstance(layer, tf.keras.Model)]
    return inner[0] if inner else backbone


def start_copies(model: tf.keras.Model) -> None:
    """Give HAB's own copy of the later stages, if it has one, the weights that it is a copy of.

    Args:
      model: a model that `build_daaf` made, its backbone's weights loaded.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    for name, layer in layers.items():
        original = layers.get(name[len(_COPY_PREFIX) :])
        if name.startswith(f"{_COPY_PREFIX}layer") and original is not None:
            layer.set_weights(original.get_weights())


def _check_feature_map(features, config):
    found = tuple(2**config.model.decoder_deconvs * length for length in features.shape[1:3])
    if found != config.target_size:
        raise UserError(
            f"the backbone's last feature map makes targets of {found[0]}x{found[1]}, but "
            f"--feature_map says {config.target_size[0]}x{config.target_size[1]}; leave out "
            "--feature_map (training measures it)"
        )
