"""Pictures of attention: what they show, where, for annotations present and absent."""

import numpy as np

from daaf_tf import schema
from daaf_tf.training.pictures import compute_pixels, draw_attention


def make_batch(size=2):
    rng = np.random.default_rng(0)
    return {
        schema.IMAGE: rng.normal(size=(size, 64, 32, 3)).astype(np.float32),
        schema.MASK: np.ones([size, 32, 16, 1], np.float32),
        schema.MASK_PRESENCE: np.ones(size, np.float32),
        schema.KEYPOINTS: np.zeros([size, 32, 16, 17], np.float32),
        schema.KEYPOINTS_PRESENCE: np.ones(size, np.float32),
    }


def test_pixels_undo_the_normalisation():
    pixels = np.random.default_rng(0).integers(0, 256, size=(4, 5, 3), dtype=np.uint8)
    normalised = (pixels / 255.0 - schema.IMAGE_MEAN) / schema.IMAGE_STD
    np.testing.assert_array_equal(compute_pixels(normalised.astype(np.float32)), pixels)


def test_an_absent_annotation_is_crossed_out_not_drawn_as_empty():
    batch = make_batch()
    outputs = {schema.MASK: batch[schema.MASK], schema.KEYPOINTS: batch[schema.KEYPOINTS]}
    whole = draw_attention(batch, outputs)
    lacking = draw_attention({**batch, schema.MASK_PRESENCE: np.zeros(2, np.float32)}, outputs)
    assert whole.shape == lacking.shape
    changed = np.nonzero((whole != lacking).any(axis=(1, 2)))[0]
    # Only the second of five rows.
    assert changed.min() > whole.shape[0] / 5 - 5
    assert changed.max() < 2 * whole.shape[0] / 5 + 5


def test_a_model_without_branches_shows_the_images_alone():
    both = draw_attention(make_batch(), {})
    assert both.dtype == np.uint8
    assert both.shape[0] < 210
