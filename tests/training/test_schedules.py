"""Properties of the recipes' learning-rate schedules, against plain Python."""

import numpy as np
import pytest

from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.schedules import RecipeSchedule, compute_learning_rate


def rates(config, steps):
    return np.array([float(compute_learning_rate(step, config)) for step in steps])


def test_trinet_holds_then_falls_a_thousandfold_in_ten_thousand_steps():
    config = OptimizerConfig()  # the TriNet recipe
    steps = [0, 1, 14999, 15000, 17500, 20000, 25000]
    expected = [3e-4 * 0.001 ** (max(step - 15000, 0) / 10000) for step in steps]
    np.testing.assert_allclose(rates(config, steps), expected, rtol=1e-4)


def test_bag_of_tricks_warms_up_and_falls_tenfold_at_each_milestone():
    config = OptimizerConfig(
        learning_rate=3.5e-4,
        schedule="multistep",
        warmup_steps=100,
        milestones=(400, 700),
        decay_factor=0.1,
    )
    steps = [0, 50, 100, 399, 400, 699, 700, 5000]
    expected = 3.5e-4 * np.array([0.01, 0.505, 1, 1, 0.1, 0.1, 0.01, 0.01])
    np.testing.assert_allclose(rates(config, steps), expected, rtol=1e-5)


def test_constant_never_changes_after_the_warm_up():
    config = OptimizerConfig(learning_rate=0.5, schedule="constant", warmup_steps=10)
    np.testing.assert_allclose(rates(config, [10, 11, 10**6]), 0.5)


@pytest.mark.parametrize("schedule", ["constant", "exponential", "multistep"])
def test_rate_never_rises_after_the_warm_up(schedule):
    config = OptimizerConfig(schedule=schedule, milestones=(20000,), warmup_steps=7)
    values = rates(config, range(7, 26000, 503))
    assert np.all(np.diff(values) <= 0)


def test_schedule_gives_optimizers_the_same_rate():
    config = OptimizerConfig()
    assert float(RecipeSchedule(config)(20000)) == rates(config, [20000])[0]
