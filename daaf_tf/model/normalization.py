"""Batch normalisation over the global batch, for every such layer of a network at once."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.errors import UserError


def synchronize_batch_norm(model: tf.keras.Model) -> tf.keras.Model:
    """Return a copy of a network whose batch norms take their statistics over all replicas.

    It works on the finished network, so that no layer can be forgotten, whoever wrote it: backbone
    (also one from a library), heads and branches. The copy has the same layers, in the same order
    and with the same names and weights, so a checkpoint of the one fits the other. Evaluation and
    export build the plain network; nothing of this is in their graphs.

    Args:
      model: a functional model; it is not changed.

    Raises:
      UserError: a layer from a library that keeps a batch norm to itself.
    """
    copy = tf.keras.models.clone_model(model, clone_function=_copy_layer)
    hidden = [
        module.name
        for module in copy.submodules
        if isinstance(module, tf.keras.layers.BatchNormalization) and not module.synchronized
    ]
    if hidden:
        raise UserError(
            f"--sync_batch_norm cannot reach {len(hidden)} batch norms inside other layers of the "
            f"backbone ({', '.join(hidden[:3])}, ...); take another --backbone, or leave it out"
        )
    copy.set_weights(model.get_weights())
    return copy


def _copy_layer(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    if isinstance(layer, tf.keras.Model):
        return tf.keras.models.clone_model(layer, clone_function=_copy_layer)
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        return GlobalBatchNormalization.from_config({**layer.get_config(), "synchronized": True})
    config = layer.get_config()
    if "synchronized" in config:  # a layer with a batch norm folded into it
        config["synchronized"] = True
    return type(layer).from_config(config)


class GlobalBatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras' synchronised batch norm with one message between the replicas instead of three.

    Keras sums x, x^2 and the count over the replicas, and takes the variance as E[x^2] - E[x]^2,
    which may come out negative where the mean is large. Here each replica tells its mean and its
    variance, and the spread of the means is added: exact to rounding, since all shares are equal.
    """

    def _calculate_mean_and_var(self, inputs, reduction_axes, keep_dims, mask=None):
        mean, variance = tf.nn.moments(inputs, reduction_axes, keepdims=keep_dims)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return mean, variance
        # A sum over tables in which each replica has filled its own row: the cheapest gather.
        own = tf.one_hot(replica.replica_id_in_sync_group, replica.num_replicas_in_sync)
        table = tf.tensordot(own, tf.stack([mean, variance]), axes=0)
        table = replica.all_reduce(tf.distribute.ReduceOp.SUM, table)
        means, variances = table[:, 0], table[:, 1]
        mean = tf.reduce_mean(means, axis=0)
        spread = tf.reduce_mean(tf.math.squared_difference(means, mean), axis=0)
        return mean, tf.reduce_mean(variances, axis=0) + spread
