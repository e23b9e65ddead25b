"""Devices, replicas and precision: what has to be settled before the first tensor exists."""

from __future__ import annotations

import functools

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.training.cluster import (
    VARIABLE,
    Cluster,
    check_addresses,
    describe_missing,
    end_unless_done,
    read_cluster,
)

# Which values of --cross_device_ops there are inside of one host, and between hosts.
_LOCAL_OPS = {
    "auto": None,
    "nccl": tf.distribute.NcclAllReduce,
    "hierarchical": tf.distribute.HierarchicalCopyAllReduce,
    "reduction_to_one_device": tf.distribute.ReductionToOneDevice,
}
_CLUSTER_OPS = {
    "auto": tf.distribute.experimental.CommunicationImplementation.AUTO,
    "nccl": tf.distribute.experimental.CommunicationImplementation.NCCL,
    "ring": tf.distribute.experimental.CommunicationImplementation.RING,
}


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """Set seeds, precision and determinism, and return the strategy over all replicas.

    One process makes one strategy, and makes it first: several objects collide on collective keys.

    Args:
      config: the run; `train.num_cpu_replicas` logical CPUs, or with 0 all GPUs, or the one CPU.

    Returns:
      A MirroredStrategy; a MultiWorkerMirroredStrategy where TF_CONFIG names several workers.

    Raises:
      UserError: the replicas cannot share the P identities evenly, the devices were already in use
        with another number of logical CPUs, TF_CONFIG is wrong, or --cross_device_ops is not for
        these devices. If the other workers do not come in time, the process ends with a message.
    """
    cluster = read_cluster()
    tf.keras.utils.set_random_seed(config.data.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.mixed_precision.set_global_policy(config.train.precision)
    strategy = _make_multi_worker(config, cluster) if cluster else _make_mirrored(config)
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


def _make_mirrored(config: Config) -> tf.distribute.Strategy:
    wanted = config.train.num_cpu_replicas
    ops = _choose(config, _LOCAL_OPS, "one host", uses_gpus=not wanted)
    # By name: left to itself, TensorFlow would look for devices on the hosts of a TF_CONFIG, also
    # where that names this host alone.
    devices = _make_logical_cpus(wanted) if wanted else _local_devices()
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=ops and ops())


def _make_multi_worker(config: Config, cluster: Cluster) -> tf.distribute.Strategy:
    wanted = config.train.num_cpu_replicas
    if wanted > 1:
        raise UserError(
            f"--num_cpu_replicas={wanted}: a worker of {VARIABLE} is one CPU replica, or all GPUs "
            "of its host; expected 1, or 0 for all GPUs"
        )
    ops = _choose(config, _CLUSTER_OPS, f"the workers of {VARIABLE}", uses_gpus=not wanted)
    check_addresses(cluster)
    if wanted:
        tf.config.set_visible_devices([], "GPU")
    seconds = config.train.cluster_timeout
    with end_unless_done(seconds, functools.partial(describe_missing, cluster, seconds)):
        options = tf.distribute.experimental.CommunicationOptions(implementation=ops)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _choose(config: Config, choices: dict, place: str, *, uses_gpus: bool):
    name = config.train.cross_device_ops
    if name not in choices:
        raise UserError(
            f"--cross_device_ops={name} is not for {place}: expected one of {', '.join(choices)}"
        )
    if name == "nccl" and not (uses_gpus and tf.config.list_physical_devices("GPU")):
        raise UserError("--cross_device_ops=nccl is for GPUs, and the run uses none: leave it out")
    return choices[name]


def _local_devices() -> list[str]:
    gpus = tf.config.list_logical_devices("GPU")
    return [f"GPU:{index}" for index in range(len(gpus))] or ["CPU:0"]


def _make_logical_cpus(number: int) -> list[str]:
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
