"""Devices, replicas and precision: what has to be settled before the first tensor exists."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """Set seeds, precision and determinism, and return the strategy over all replicas.

    One process makes one strategy: several MirroredStrategy objects collide on collective keys.

    Args:
      config: the run; `train.num_cpu_replicas` logical CPUs, or with 0 all GPUs, or the one CPU.

    Returns:
      A MirroredStrategy.

    Raises:
      UserError: the replicas cannot share the P identities evenly, or the devices were already in
        use with another number of logical CPUs.
    """
    devices = _make_logical_cpus(config.train.num_cpu_replicas)
    tf.keras.utils.set_random_seed(config.data.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.mixed_precision.set_global_policy(config.train.precision)
    strategy = tf.distribute.MirroredStrategy(devices)
    check_shares(config, strategy.num_replicas_in_sync)
    return strategy


def check_shares(config: Config, num_replicas: int) -> None:
    """Raise a UserError unless each replica gets the same number of whole identities.

    The global batch is cut into contiguous shares; a share that splits an identity would starve the
    positives of local mining, and unequal shares would weigh images unequally.
    """
    identities = config.data.identities_per_batch
    if identities % num_replicas:
        nearest = -(-identities // num_replicas) * num_replicas
        raise UserError(
            f"--identities_per_batch={identities} cannot be shared by {num_replicas} replicas: "
            f"expected a multiple of {num_replicas}, e.g. {nearest}"
        )


def _make_logical_cpus(number: int) -> list[str] | None:
    if not number:
        return None
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(number)]
        )
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) != number:
            raise UserError(
                f"--num_cpu_replicas={number}: TensorFlow has already started with "
                f"{len(tf.config.list_logical_devices('CPU'))} CPU device(s); use a new process"
            ) from None
    return [f"CPU:{index}" for index in range(number)]
