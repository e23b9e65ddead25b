"""The vocabulary that writer and reader, data and model, training and serving share.

Every name of a record feature, a batch entry or a model output is spelt here and nowhere else.
"""

from __future__ import annotations

# Version of the record layout; a reader refuses any other.
SCHEMA_VERSION = 1

# Splits of a data set, in the order in which they are written and listed.
TRAIN = "train"
QUERY = "query"
GALLERY = "gallery"
MULTI_QUERY = "multi_query"  # more images of the queries' persons in their cameras; optional
SPLITS = (TRAIN, QUERY, GALLERY, MULTI_QUERY)

# Features of one `tf.train.Example` (one image). What is absent is an absent feature.
IMAGE_ENCODED = "image/encoded"
IMAGE_FORMAT = "image/format"
IMAGE_FILENAME = "image/filename"
IMAGE_HEIGHT = "image/height"
IMAGE_WIDTH = "image/width"
IMAGE_SHA256 = "image/key/sha256"
CLASS_LABEL = "image/class/label"
PERSON_ID_FEATURE = "image/person_id"
CAMERA_ID_FEATURE = "image/camera_id"
MASK_ENCODED = "image/segmentation/class/encoded"
KEYPOINT_X = "image/object/keypoint/x"
KEYPOINT_Y = "image/object/keypoint/y"
KEYPOINT_VISIBILITY = "image/object/keypoint/visibility"
HEATMAPS_ENCODED = "image/heatmaps/encoded"

# Person ids with a meaning of their own in the test folder (Market-1501).
JUNK_ID = -1  # ignored by the protocol
DISTRACTOR_ID = 0  # a negative for every query
NO_LABEL = -1  # class label of a record outside the training split

# Entries of a batch. MASK and KEYPOINTS are also names of model outputs.
IMAGE = "image"
PERSON_ID = "person_id"
CAMERA_ID = "camera_id"
FILENAME = "filename"
LABEL = "label"
MASK = "mask"
KEYPOINTS = "keypoints"
MASK_PRESENCE = "mask_presence"
KEYPOINTS_PRESENCE = "keypoints_presence"

# Model outputs. EMBEDDING is what retrieval compares; FEATURE is what the triplet and centre losses
# see where that is another one (BNNeck). LOGITS and CENTRE_DISTANCES exist where their loss is
# trained.
EMBEDDING = "embedding"
FEATURE = "feature"
LOGITS = "logits"
CENTRE_DISTANCES = "centre_distances"

# The 17 joints in COCO order; heat-map files are numbered the same way.
JOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
NUM_JOINTS = len(JOINTS)

# FLIP_PERMUTATION[j] is the joint that joint j becomes in a mirrored image.
FLIP_PERMUTATION = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

# The six groups of PAB (reference table of the paper): each group of feature channels answers for
# one set of joints. Together they are all 17 joints in order, so group outputs are concatenated.
JOINT_GROUPS = (
    ("head", (0, 1, 2, 3, 4)),
    ("shoulders", (5, 6)),
    ("elbows", (7, 8)),
    ("wrists_hips", (9, 10, 11, 12)),
    ("knees", (13, 14)),
    ("ankles", (15, 16)),
)

# ImageNet statistics of torchvision's weights: RGB in 0..1 minus mean, over standard deviation.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
