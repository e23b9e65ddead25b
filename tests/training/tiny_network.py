"""A network of a few dozen weights with backbone and head, trained as `trainer.train` does it."""

import numpy as np
import tensorflow as tf

from daaf_tf.model import backbone_model
from daaf_tf.training import callbacks
from daaf_tf.training.checkpoints import Checkpoints
from daaf_tf.training.freezing import FreezeBackbone
from daaf_tf.training.optimizers import build_optimizer, make_slots

BATCH = 8


def compile_network(config, seed=1):
    """Return the compiled network; `config` is an OptimizerConfig."""
    tf.keras.utils.set_random_seed(seed)
    image = tf.keras.Input([4, 4, 3])
    x = tf.keras.layers.Conv2D(4, 3, name="conv")(image)
    x = tf.keras.layers.BatchNormalization(name="norm", momentum=0.5)(x)
    x = tf.keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    model = tf.keras.Model(image, tf.keras.layers.Dense(2, name="head")(x))
    frozen = backbone_model(model).trainable_variables
    model.compile(optimizer=build_optimizer(config, frozen=frozen), loss="mse")
    make_slots(model.optimizer, model.trainable_variables)
    return model


def make_batches(first_step):
    """Return an infinite dataset whose batches are functions of their step."""

    def batch(step):
        seed = tf.stack([tf.constant(7, tf.int64), step])
        images = tf.random.stateless_normal([BATCH, 4, 4, 3], seed)
        return images, tf.reduce_mean(images, axis=[1, 2])[:, :2] * 3 + 1

    return tf.data.Dataset.counter(first_step).map(batch)


def train(config, model_dir, *, until, checkpoint_every=1, more_callbacks=()):
    """Train until a step, going on from the newest checkpoint."""
    model = compile_network(config)
    checkpoints = Checkpoints(str(model_dir), 100, model=model, optimizer=model.optimizer)
    first = checkpoints.restore()[0] or 0
    used = [
        callbacks.SaveCheckpoints(
            first, every=checkpoint_every, total_steps=until, checkpoints=checkpoints
        ),
        FreezeBackbone(first, steps=config.freeze_backbone_steps, backbone=backbone_model(model)),
        *more_callbacks,
    ]
    model.fit(make_batches(first), steps_per_epoch=until - first, verbose=0, callbacks=used)
    return model


def read_checkpoint(model_dir, step):
    """Return {name: value} of everything in a checkpoint."""
    reader = tf.train.load_checkpoint(str(model_dir / f"checkpoints/step-{step}"))
    names = [name for name in reader.get_variable_to_shape_map() if "/.ATTR" in name]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def assert_same(left, right):
    """Assert that two dicts of arrays are equal bit for bit."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)
