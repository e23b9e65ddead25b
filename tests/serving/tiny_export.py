"""The smallest network with everything in it, and images to give to it."""

import numpy as np
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.data.preprocess import preprocess_image
from daaf_tf.model import build_daaf

CONFIG = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=8,
    head_units=16,
    embedding_size=8,
    decoder_channels=4,
)


def build_network(config=CONFIG):
    """Return a network with moving statistics other than 0 and 1, so that losing them shows."""
    tf.keras.utils.set_random_seed(1)
    model = build_daaf(config)
    generator = np.random.default_rng(1)
    for variable in model.non_trainable_variables:
        low, high = (-0.1, 0.1) if "mean" in variable.name else (0.5, 1.5)
        variable.assign(generator.uniform(low, high, variable.shape).astype(np.float32))
    return model


def make_jpegs(sizes=((128, 64), (70, 41), (20, 90), (1, 1))):
    """Return encoded images of different sizes, smooth as photographs are."""
    generator = np.random.default_rng(2)
    coarse = (generator.integers(0, 256, (5, 3, 3)).astype(np.uint8) for _ in sizes)
    smooth = (tf.image.resize(image, size).numpy() for image, size in zip(coarse, sizes))
    return [tf.io.encode_jpeg(image.astype(np.uint8)).numpy() for image in smooth]


def preprocess(jpegs, size=(64, 32)):
    """Return what evaluation feeds to the network."""
    return tf.stack([preprocess_image(encoded, *size) for encoded in jpegs])
