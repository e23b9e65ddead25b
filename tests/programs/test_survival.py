"""A run that is killed at any moment ends as one that was left alone, bit for bit.

KILLS=20 pytest tests/programs/test_survival.py kills 20 times instead of 3.
"""

import os
import random
import re
import signal
import time

import pytest
from tiny_run import (
    NO_BRANCHES,
    Run,
    assert_close,
    list_steps,
    read_figures,
    read_weights,
    running,
    train,
)

pytestmark = pytest.mark.timeout(0)  # each process has a time limit of its own

KILLS = int(os.environ.get("KILLS", "3"))
STEPS_PER_LIFE = 8
TOTAL_STEPS = STEPS_PER_LIFE * (KILLS + 1)
FLAGS = (
    *NO_BRANCHES,
    "--num_cpu_replicas=1",
    f"--total_steps={TOTAL_STEPS}",
    "--checkpoint_every=2",
    "--keep_checkpoints=2",
    f"--eval_every={STEPS_PER_LIFE}",
)


def kill_at_random(run, folder, chance):
    """Kill a run at a moment between its start and some steps on; return whether it was alive."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 5))  # while it starts
    else:
        aim = (list_steps(folder) or [0])[-1] + chance.randint(1, STEPS_PER_LIFE)
        aim = min(aim, TOTAL_STEPS - STEPS_PER_LIFE // 2)  # so that it is still alive then
        run.wait_until(lambda: (list_steps(folder) or [0])[-1] >= aim)
        time.sleep(chance.uniform(0, 0.2))  # in a step, or in the writing of a checkpoint
    alive = run.process.poll() is None
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    return alive


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(records, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(records, whole, *FLAGS)
    chance = random.Random(KILLS)
    for _ in range(KILLS):
        with running(Run(records, killed, *FLAGS)) as (run,):
            assert kill_at_random(run, killed, chance)
    train(records, killed, *FLAGS)
    weights = read_weights(whole)
    assert len(weights) > 100
    assert_close(weights, read_weights(killed), 0)
    # Nor do the figures show it, nor is anything left of writes that were cut off.
    assert read_figures(killed) == read_figures(whole)
    for place in (".", "checkpoints"):
        left, expected = (
            sorted(path.name for path in (folder / place).iterdir()) for folder in (killed, whole)
        )
        assert left == expected


def test_a_loss_that_explodes_under_replicas_is_named_with_its_step(records, tmp_path):
    printed = train(
        records,
        tmp_path / "model",
        *NO_BRANCHES,
        "--num_cpu_replicas=2",
        "--optimizer=sgd",
        "--learning_rate=1e30",
        "--total_steps=9",
        "--log_every=7",
        codes=(1,),
    )
    # Some step before the first that is logged. A network with one loss has only the total.
    assert re.search(r"error: step [2-6]: loss/total is (nan|inf)", printed), printed
    assert not list_steps(tmp_path / "model")
