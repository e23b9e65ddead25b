"""A frozen backbone stays as it is, then learns; a resumed run does the same."""

import numpy as np
import pytest
from tiny_network import assert_same, compile_network, read_checkpoint, train

from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.freezing import FreezeBackbone

FROZEN_STEPS, STEPS = 2, 4
CONFIG = OptimizerConfig(
    schedule="constant", learning_rate=0.01, freeze_backbone_steps=FROZEN_STEPS
)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(CONFIG, folder, until=STEPS)
    return folder


def read_layer(folder, step, name):
    """Return the variables of a layer, by their own names."""
    layers = {"conv": 0, "norm": 1, "head": 2}
    prefix = f"model/layer_with_weights-{layers[name]}/"
    return {
        key[len(prefix) :].partition("/")[0]: value
        for key, value in read_checkpoint(folder, step).items()
        if key.startswith(prefix)
    }


def test_backbone_and_its_statistics_stay_and_then_move(whole_run):
    start = {
        layer.name: {v.name.split("/")[1].split(":")[0]: v.numpy() for v in layer.weights}
        for layer in compile_network(CONFIG).layers
    }
    for name in ("conv", "norm"):
        assert_same(read_layer(whole_run, FROZEN_STEPS, name), start[name])
        after = read_layer(whole_run, FROZEN_STEPS + 1, name)
        # The convolution's bias has no gradient before a batch norm.
        assert all(np.any(after[key] != start[name][key]) for key in after if key != "bias")
    for step in range(1, STEPS + 1):
        earlier = read_layer(whole_run, step - 1, "head") if step > 1 else start["head"]
        later = read_layer(whole_run, step, "head")
        assert all(np.any(later[key] != earlier[key]) for key in later)


def test_the_first_update_after_the_thaw_is_as_long_as_adams_first(whole_run):
    before, after = (read_layer(whole_run, FROZEN_STEPS + step, "norm")["gamma"] for step in (0, 1))
    # Adam's first update is the learning rate whatever the gradient; with the bias correction of
    # the run's third step it would be 1.6 times that.
    np.testing.assert_allclose(np.abs(after - before), CONFIG.learning_rate, rtol=1e-3)


@pytest.mark.parametrize("interrupted_after", [1, FROZEN_STEPS, FROZEN_STEPS + 1])
def test_a_resumed_run_ends_with_the_same_bits(whole_run, tmp_path, interrupted_after):
    train(CONFIG, tmp_path, until=interrupted_after)
    train(CONFIG, tmp_path, until=STEPS)
    assert_same(read_checkpoint(tmp_path, STEPS), read_checkpoint(whole_run, STEPS))


def test_nothing_is_frozen_by_default():
    model = compile_network(OptimizerConfig())
    callback = FreezeBackbone(0, steps=0, backbone=model)
    callback.set_model(model)
    callback.on_train_begin()
    assert all(layer.trainable for layer in model.layers)
