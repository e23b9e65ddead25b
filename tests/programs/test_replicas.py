"""Replicas and workers that together train as one does, and what happens when one of them is lost.

Each run is a process of its own, or two: the records, the network and the losses are those of
`daaf_tf.train`, all three kinds of batch norm, both branches and mining over the global batch.
"""

import os
import shutil
import signal

import pytest
from tiny_run import (
    NO_BRANCHES,
    Run,
    assert_close,
    free_ports,
    list_steps,
    read_figures,
    read_losses,
    read_weights,
    running,
    start_workers,
    train,
)

pytestmark = pytest.mark.timeout(0)  # each process has a time limit of its own

STEPS = 5
SAME = (
    "--sync_batch_norm",
    "--identity_weight=1",
    # Where a gradient happens to be near zero, Adam would make whole steps of its rounding.
    "--optimizer=sgd",
    "--learning_rate=1e-4",
    f"--total_steps={STEPS}",
    "--log_every=1",
)
# Long enough to be stopped on the way.
LONG = (*NO_BRANCHES, "--total_steps=100000", "--checkpoint_every=2")


@pytest.fixture(scope="module")
def alone(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "model"
    train(records, folder, *SAME)
    return folder


def assert_same_run(alone, together):
    losses = read_losses(alone)
    assert len(losses) == 5
    assert all(len(values) == STEPS for values in losses.values())
    assert_close(losses, read_losses(together), 1e-5)
    weights, others = read_network(alone), read_network(together)
    assert len(weights) > 200
    assert_close(weights, others, 1e-5)


def read_network(folder):
    return {name: each for name, each in read_weights(folder).items() if name.startswith("model/")}


def test_nothing_of_it_is_in_the_network_that_is_evaluated_and_exported(alone):
    import tensorflow as tf

    from daaf_tf.model import build_daaf, embedding_model
    from daaf_tf.training.checkpoints import read_config
    from daaf_tf.training.evaluation import load_embedding_model

    def list_ops(model):
        spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
        function = tf.function(lambda images: model(images, training=False))
        return [op.type for op in function.get_concrete_function(spec).graph.get_operations()]

    config = read_config(str(alone))
    assert config.model.sync_batch_norm
    model, step = load_embedding_model(config, str(alone))
    assert step == STEPS
    ops = list_ops(model)
    assert ops == list_ops(embedding_model(build_daaf(config.replace(sync_batch_norm=False))))
    assert ops.count("FusedBatchNormV3") == 20  # ResNet-18's


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_give_the_losses_and_weights_of_one(alone, records, tmp_path, replicas):
    printed = train(records, tmp_path / "model", *SAME, f"--num_cpu_replicas={replicas}")
    assert f"training on {replicas} replica(s)" in printed
    assert_same_run(alone, tmp_path / "model")


def test_two_workers_give_the_losses_and_weights_of_one(alone, records, tmp_path):
    folder = tmp_path / "model"
    with running(*start_workers(records, folder, 2, *SAME)) as workers:
        printed = [worker.end() for worker in workers]
    for index in range(2):
        assert f"training on 2 replica(s) of 2 workers, here worker {index}" in printed[index]
    assert_same_run(alone, folder)
    # The chief alone evaluates and writes.
    assert read_figures(folder) == read_figures(alone)
    assert "mAP" in printed[0]
    assert "mAP" not in printed[1]
    for kind in ("train", "eval"):
        assert len(list((folder / kind).iterdir())) == 1


def test_a_signal_to_one_worker_stops_and_saves_all_and_a_lost_one_ends_all(records, tmp_path):
    folder = tmp_path / "model"
    with running(*start_workers(records, folder, 2, *LONG)) as workers:
        workers[0].wait_until(lambda: list_steps(folder))
        os.kill(workers[1].process.pid, signal.SIGTERM)
        for worker in workers:
            assert f"stopped and saved in {folder}" in worker.end(130)
    stopped = list_steps(folder)[-1]
    # Which of them is lost does not matter.
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for lost, place in ((1, folder), (0, copy)):
        with running(*start_workers(records, place, 2, *LONG)) as workers:
            workers[0].wait_until(lambda place=place: list_steps(place)[-1] > stopped)
            os.kill(workers[lost].process.pid, signal.SIGKILL)
            message = workers[1 - lost].end(1)
        assert f"steps {stopped} to 100000" in message
        assert f"worker {1 - lost} has lost another worker" in message
        assert "Traceback" not in message
        # One host goes on with what is there.
        newest = list_steps(place)[-1]
        printed = train(
            records, place, *LONG, f"--total_steps={newest + 1}", "--num_cpu_replicas=1"
        )
        assert f"steps {newest} to {newest + 1}" in printed


def test_workers_with_other_flags_are_refused(records, tmp_path):
    flags = {1: ["--seed=2"]}
    with running(*start_workers(records, tmp_path, 2, *LONG, own_flags=flags)) as workers:
        for worker in workers:
            assert "were started with different --seed;" in worker.end(1)
    assert not list_steps(tmp_path)


def test_a_worker_that_nobody_joins_says_so_in_time(records, tmp_path):
    ports = free_ports(2)
    own, other = (f"127.0.0.1:{port}" for port in ports)
    config = {"cluster": {"worker": [own, other]}, "task": {"type": "worker", "index": 0}}
    with running(Run(records, tmp_path / "model", "--cluster_timeout=3", tf_config=config)) as (
        run,
    ):
        printed = run.end(1)
    assert f"waited 3 s for the other workers in TF_CONFIG: no answer from {other}" in printed
    assert not (tmp_path / "model").exists()
