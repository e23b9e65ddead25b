"""What is drawn over an image of a person: where, and in which colour."""

import numpy as np

from daaf_tf import schema
from daaf_tf.overlays import GROUP_COLOURS, overlay_joints, overlay_keypoints, overlay_mask


def test_a_mask_tints_only_where_it_is():
    image = np.full([32, 16, 3], 100, np.uint8)
    mask = np.zeros([32, 16, 1], np.float32)
    mask[:16] = 1
    tinted = overlay_mask(image, mask)
    assert np.all(tinted[:16, :, 1] > 100)
    np.testing.assert_array_equal(tinted[16:], image[16:])


def test_a_keypoint_has_the_colour_of_its_group():
    for (_, joints), colour in zip(schema.JOINT_GROUPS, GROUP_COLOURS):
        for joint in joints:
            maps = np.zeros([32, 16, 17], np.float32)
            maps[8, 4, joint] = 1
            drawn = overlay_keypoints(np.zeros([32, 16, 3], np.uint8), maps)
            np.testing.assert_array_equal(drawn[8, 4], colour)
            assert not drawn[20:].any()


def test_a_joint_is_a_dot_where_it_is():
    for (_, group), colour in zip(schema.JOINT_GROUPS, GROUP_COLOURS):
        for joint in group:
            joints = np.zeros([17, 3], np.float32)
            joints[joint] = (0.25, 0.5, 1.0)
            drawn = overlay_joints(np.zeros([200, 100, 3], np.uint8), joints)
            np.testing.assert_array_equal(drawn[100, 25], colour)
            assert not drawn[:90].any()
            assert not drawn[:, 40:].any()


def test_a_joint_that_was_not_seen_is_not_drawn():
    joints = np.full([17, 3], 0.4, np.float32)
    image = np.full([64, 32, 3], 100, np.uint8)
    np.testing.assert_array_equal(overlay_joints(image, joints), image // 2)
