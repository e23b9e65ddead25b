"""How replicas share a batch, and which devices and ways between them go together."""

import json

import pytest

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.training.strategy import check_shares, make_strategy


@pytest.mark.parametrize("num_replicas", [1, 2, 3, 6, 9, 18])
def test_divisors_of_p_share_whole_identities(num_replicas):
    check_shares(Config(), num_replicas)


def test_others_are_refused_with_the_next_number_that_works():
    with pytest.raises(UserError, match=r"identities_per_batch=18 .* 4 replicas.* e.g. 20"):
        check_shares(Config(), 4)


@pytest.mark.parametrize(
    ("cross_device_ops", "workers", "message"),
    [
        ("ring", 1, "=ring is not for one host: expected one of auto, nccl, hierarchical"),
        ("hierarchical", 2, "=hierarchical is not for the workers of TF_CONFIG"),
        ("nccl", 1, "=nccl is for GPUs, and the run uses none"),
        ("nccl", 2, "=nccl is for GPUs, and the run uses none"),
    ],
)
def test_a_way_that_these_devices_do_not_have_is_named(
    monkeypatch, cross_device_ops, workers, message
):
    set_cluster(monkeypatch, workers)
    config = Config().replace(cross_device_ops=cross_device_ops, num_cpu_replicas=1)
    with pytest.raises(UserError, match=message):
        make_strategy(config)


def test_a_worker_is_one_cpu(monkeypatch):
    set_cluster(monkeypatch, 2)
    with pytest.raises(UserError, match="--num_cpu_replicas=2: a worker of TF_CONFIG is one CPU"):
        make_strategy(Config().replace(num_cpu_replicas=2))


def set_cluster(monkeypatch, workers):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in range(1, workers + 1)]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
