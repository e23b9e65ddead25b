"""What is measured on held-out people, with a network that says the same of every image."""

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.held_out import read_held_out
from daaf_tf.training.evaluation import measure_attention


@pytest.fixture(scope="module")
def config(records):
    return Config().replace(
        data_dir=str(records),
        image_height=64,
        image_width=32,
        held_out_identities=2,
        eval_batch_size=3,
    )


def build_constant(config, **maps):
    """Build a network whose outputs are the same maps for every image."""
    image = tf.keras.Input((64, 32, 3))

    def always(values):
        tensor = tf.constant(values, tf.float32)[tf.newaxis]
        return tf.keras.layers.Lambda(
            lambda images: tf.repeat(tensor, tf.shape(images)[0], axis=0)
        )(image)

    outputs = {name: always(values) for name, values in maps.items()}
    return tf.keras.Model(image, {schema.EMBEDDING: image, **outputs})


def join(config, name):
    return np.concatenate([getattr(batch, name) for batch in read_held_out(config)])


def test_a_mask_of_everything_has_the_iou_of_the_persons_share(config):
    model = build_constant(config, mask=np.ones((*config.target_size, 1)))
    found = measure_attention(model, config)
    assert found == {"mask_iou": pytest.approx(join(config, "masks").mean(), abs=1e-4)}


def test_joints_are_right_where_they_are_near_the_peak(config):
    maps = np.zeros((*config.target_size, 17))
    maps[3, 8] = 1.0  # of 32 x 16 pixels, where heads are
    joints = join(config, "joints")
    offsets = (joints[..., :2] - (8.5 / 16, 3.5 / 32)) * (0.5, 1.0)
    visible = joints[..., 2] >= 0.5
    expected = (np.hypot(*np.moveaxis(offsets, -1, 0)) <= 0.05)[visible].mean()
    assert 0 < expected < 1
    found = measure_attention(build_constant(config, keypoints=maps), config)
    assert found == {"joint_accuracy": pytest.approx(expected, abs=1e-4)}


def test_nothing_is_measured_without_branches_or_held_out_people(config):
    assert measure_attention(build_constant(config), config) == {}
    model = build_constant(config, mask=np.ones((*config.target_size, 1)))
    assert measure_attention(model, config.replace(held_out_identities=0)) == {}
