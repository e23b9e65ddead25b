"""`train` with averages, clipping and freezing; a learning rate that explodes."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.training.checkpoints import prepare_model_dir
from daaf_tf.training.evaluation import evaluate_model, load_embedding_model
from daaf_tf.training.trainer import resolve_config, train

FROZEN, FIRST_KERNEL = 1, "model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(scope="module")
def config(records):
    return resolve_config(
        Config().replace(
            data_dir=str(records),
            backbone="resnet18",
            backbone_width=4,
            head_units=8,
            embedding_size=4,
            hab=False,
            pab=False,
            image_height=32,
            image_width=32,
            identities_per_batch=2,
            images_per_identity=2,
            schedule="constant",
            checkpoint_every=1,
            total_steps=2,
        )
    )


def run(config, model_dir):
    prepare_model_dir(str(model_dir), config, "")
    assert train(config, str(model_dir), tf.distribute.get_strategy())


def test_the_averages_are_evaluated_and_exported_and_the_weights_trained(config, tmp_path):
    config = config.replace(
        ema_momentum=0.5,
        clip_norm=0.1,
        freeze_backbone_steps=FROZEN,
        learning_rate=0.05,
        eval_metric="cosine",
    )
    run(config, tmp_path)
    # The first convolution stays, then moves, and only the average is loaded.
    kernels = [
        tf.train.load_checkpoint(str(tmp_path / f"checkpoints/step-{step}")).get_tensor(
            FIRST_KERNEL
        )
        for step in (FROZEN, FROZEN + 1)
    ]
    model, step = load_embedding_model(config, str(tmp_path))
    assert step == 2
    loaded = model.get_layer("conv1").kernel.numpy()
    assert np.any(kernels[0] != kernels[1])
    np.testing.assert_allclose(loaded, (kernels[0] + kernels[1]) / 2, rtol=1e-4, atol=1e-6)
    # What was logged during training are the averages' figures.
    logged = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    figures = evaluate_model(model, config, progress=False).summarize()
    assert {"step": 2, **figures} == logged


def test_a_learning_rate_that_explodes_names_loss_step_and_remedies(config, tmp_path):
    config = config.replace(learning_rate=1e30, optimizer="sgd", total_steps=5)
    with pytest.raises(UserError) as raised:
        run(config, tmp_path)
    message = str(raised.value)
    step, name = re.match(r"step (\d+): (\S+) is (?:nan|inf)", message).groups()
    assert int(step) > 1
    assert name == "loss/total"  # of which there is one term
    for remedy in ("--learning_rate", "--warmup_steps", "--clip_norm", "--precision"):
        assert remedy in message
    assert not (tmp_path / f"checkpoints/step-{step}.index").exists()
