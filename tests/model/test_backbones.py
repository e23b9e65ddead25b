"""keras-cv backbones: built from arguments alone, measured, stored, and refused where they must."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config, from_json, to_json
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model, build_daaf, embedding_model, resolve_backbone
from daaf_tf.model.backbones import backbone_features, read_description
from daaf_tf.model.weight_files import read_weight_file
from daaf_tf.model.weights import load_weights
from daaf_tf.sections.model import ModelConfig
from daaf_tf.training.compiling import compile_model, make_to_keras

RESNET = {
    "stackwise_filters": [4, 3],
    "stackwise_blocks": [1, 1],
    "stackwise_strides": [1, 2],
    "include_rescaling": False,
}
EFFICIENTNET = {
    "width_coefficient": 0.02,
    "depth_coefficient": 1.0,
    "stackwise_kernel_sizes": [3, 3],
    "stackwise_num_repeats": [1, 1],
    "stackwise_input_filters": [8, 8],
    "stackwise_output_filters": [8, 8],
    "stackwise_expansion_ratios": [1, 2],
    "stackwise_squeeze_and_excite_ratios": [0.0, 0.25],
    "stackwise_strides": [1, 2],
    "stackwise_conv_types": ["fused", "unfused"],
    "include_rescaling": True,
}
MOBILENET = {
    "stackwise_expansion": [1, 2],
    "stackwise_filters": [8, 8],
    "stackwise_kernel_size": [3, 3],
    "stackwise_stride": [2, 2],
    "stackwise_se_ratio": [0.25, None],
    "stackwise_activation": ["relu", "hard_swish"],
    "include_rescaling": False,
}
# Class: arguments, last feature map of 48x32 images, its channels.
BACKBONES = {
    "ResNetBackbone": (RESNET, (6, 4), 12),
    "EfficientNetV2Backbone": (EFFICIENTNET, (12, 8), 24),
    "MobileNetV3Backbone": (MOBILENET, (6, 4), 48),
}


def describe(name, arguments=None):
    return json.dumps({"class": name, "arguments": arguments or BACKBONES[name][0]})


def make_config(description, **values):
    return Config().replace(
        **{
            "image_height": 48,
            "image_width": 32,
            "backbone": "keras_cv",
            "backbone_config": description,
            "head_units": 8,
            "embedding_size": 4,
            "decoder_channels": 2,
            "pab_shared_decoder": True,
            "identities_per_batch": 2,
            "images_per_identity": 2,
            **values,
        }
    )


def make_batch(config):
    rng = np.random.default_rng(0)
    size = (config.batch_size, *config.target_size)
    return {
        schema.IMAGE: rng.normal(size=(config.batch_size, 48, 32, 3)).astype(np.float32),
        schema.LABEL: np.array([0, 0, 1, 1]),
        schema.MASK: rng.random((*size, 1)).astype(np.float32),
        schema.KEYPOINTS: rng.random((*size, 17)).astype(np.float32),
        schema.MASK_PRESENCE: np.ones(config.batch_size, np.float32),
        schema.KEYPOINTS_PRESENCE: np.ones(config.batch_size, np.float32),
    }


def write_preset(folder, name="MobileNetV3Backbone"):
    """Write a preset folder as keras-cv does, and return the backbone in it."""
    import keras_cv
    from keras_cv.src.utils.preset_utils import save_to_preset

    tf.keras.utils.set_random_seed(5)
    backbone = getattr(keras_cv.models, name)(**BACKBONES[name][0])
    save_to_preset(backbone, str(folder))
    return backbone


@pytest.fixture
def bfloat16_policy():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", BACKBONES)
def test_it_trains_a_step_with_both_branches_on_its_last_feature_map(name):
    _, feature_map, channels = BACKBONES[name]
    config = resolve_backbone(make_config(describe(name)))
    assert config.model.feature_map == feature_map
    assert config.target_size == (16 * feature_map[0], 16 * feature_map[1])
    model = compile_model(config)
    assert model.get_layer("backbone").output_shape == (None, *feature_map, channels)
    before = [weight.numpy() for weight in model.get_layer("backbone").trainable_weights]
    batches = tf.data.Dataset.from_tensors(make_batch(config)).map(make_to_keras(model.output))
    history = model.fit(batches, verbose=0).history
    assert np.isfinite(history["loss"] + history["mask_loss"] + history["keypoints_loss"]).all()
    after = model.get_layer("backbone").trainable_weights
    assert all(np.any(new.numpy() != old) for new, old in zip(after, before))


@pytest.mark.usefixtures("bfloat16_policy")
def test_mixed_precision_and_the_cut_model():
    config = resolve_backbone(make_config(describe("EfficientNetV2Backbone")))
    model = build_daaf(config)
    assert model.get_layer("backbone").get_layer("stem_conv").compute_dtype == "bfloat16"
    cut = embedding_model(model)
    assert [layer.name for layer in cut.layers if layer.weights] == [
        "backbone",
        "head_fc",
        "head_bn",
        "embedding",
    ]
    images = make_batch(config)[schema.IMAGE]
    outputs = model(images, training=False)
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    np.testing.assert_array_equal(cut(images), outputs[schema.EMBEDDING])


def test_the_stored_config_is_all_that_is_needed(tmp_path):
    file = tmp_path / "backbone.json"
    file.write_text(describe("MobileNetV3Backbone"))
    config = resolve_backbone(make_config(str(file)))
    file.unlink()
    stored = from_json(to_json(config))
    assert stored == config == resolve_backbone(stored)
    assert json.loads(stored.model.backbone_config)["class"] == "MobileNetV3Backbone"
    assert "\n" not in stored.model.backbone_config
    assert build_daaf(stored).output[schema.MASK].shape[1:3] == (96, 64)


def test_one_seed_gives_one_start_whether_it_was_measured_or_not():
    config = resolve_backbone(make_config(describe("MobileNetV3Backbone"), hab=False, pab=False))
    first = build_daaf(config).get_weights()
    tf.keras.utils.set_random_seed(config.data.seed)
    second = build_daaf(config).get_weights()
    assert all(np.array_equal(left, right) for left, right in zip(first, second))


@pytest.mark.parametrize("rescaling", [True, False])
def test_with_rescaling_it_is_given_pixels(rescaling):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 32, 3)).astype(np.float32)
    images = (pixels / 255 - schema.IMAGE_MEAN) / schema.IMAGE_STD
    arguments = {**MOBILENET, "include_rescaling": rescaling}
    settings = ModelConfig(
        backbone="keras_cv", backbone_config=describe("MobileNetV3Backbone", arguments)
    )
    image = tf.keras.Input((48, 32, 3))
    model = tf.keras.Model(image, backbone_features(image, settings)[0])
    expected = model.get_layer("backbone")(pixels if rescaling else images.astype(np.float32))
    np.testing.assert_allclose(model(images), expected, atol=1e-4)


def test_a_preset_folder_describes_its_backbone(tmp_path):
    backbone = write_preset(tmp_path)
    config = resolve_backbone(make_config(str(tmp_path)))
    assert config.model.feature_map == (6, 4)
    built = build_daaf(config).get_layer("backbone")
    assert type(built) is type(backbone)
    assert [weight.shape for weight in built.weights] == [w.shape for w in backbone.weights]


@pytest.mark.parametrize("name", BACKBONES)
def test_a_presets_weights_go_into_the_network(name, tmp_path):
    backbone = write_preset(tmp_path, name)
    model = build_daaf(resolve_backbone(make_config(str(tmp_path), hab=False, pab=False)))
    load_weights(backbone_model(model), read_weight_file(tmp_path))
    for loaded, saved in zip(model.get_layer("backbone").get_weights(), backbone.get_weights()):
        np.testing.assert_array_equal(loaded, saved)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (describe("ResNet50Backbone", {"x": 1}), "class 'ResNet50Backbone': expected one of .*not"),
        (describe("VGG99", {"x": 1}), "class 'VGG99': expected one of CSPDarkNetBackbone"),
        (describe("Backbone", {"x": 1}), "class 'Backbone': expected one of"),
        (describe("ResNetBackbone", {"blocks": 1}), "ResNetBackbone cannot be made with .*missing"),
        (
            describe("ResNetBackbone", {**RESNET, "stackwise_blocks": [1]}),
            "ResNetBackbone cannot be made with .* for images of 48x32: list index out of range",
        ),
        (
            describe("ResNetBackbone", {**RESNET, "colour": 1}),
            "ResNetBackbone cannot be made with .*colour",
        ),
        ('{"class": "ResNetBackbone"}', "expected a class and its arguments"),
        ('{"class": 3, "arguments": {}}', "expected a class and its arguments"),
        ("{", "not JSON"),
    ],
)
def test_a_description_that_is_none(description, message):
    with pytest.raises(UserError, match=f"--backbone_config: {message}"):
        resolve_backbone(make_config(description))


def test_files_that_are_no_description(tmp_path):
    with pytest.raises(UserError, match="cannot be read .*; expected a JSON file, or the folder"):
        read_description(str(tmp_path / "missing.json"))
    with pytest.raises(UserError, match="config.json cannot be read"):
        read_description(str(tmp_path))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="expected a class and its arguments"):
        read_description(str(tmp_path))
    (tmp_path / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="config.json cannot be read"):
        read_description(str(tmp_path))


def test_too_few_channels_for_six_groups():
    description = describe("ResNetBackbone", {**RESNET, "stackwise_filters": [4, 1]})
    config = resolve_backbone(make_config(description))
    with pytest.raises(UserError, match="6 groups of 1 channels do not fit into .* map's 4"):
        build_daaf(config)
    assert schema.MASK in build_daaf(config.replace(pab=False)).output


def test_a_feature_map_that_is_not_the_backbones():
    config = make_config(describe("ResNetBackbone"), feature_map=(5, 4))
    with pytest.raises(UserError, match="--feature_map=5,4, but the backbone makes 6,4 of 48x32"):
        resolve_backbone(config)
    with pytest.raises(UserError, match="targets of 96x64, but --feature_map says 80x64"):
        build_daaf(config)


@pytest.mark.parametrize(
    "values",
    [{"backbone_config": "some.json"}, {"feature_map": (8, 4)}],
    ids=lambda v: next(iter(v)),
)
def test_keras_cvs_settings_beside_a_resnet(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))} describes a keras-cv backbone"):
        resolve_backbone(Config().replace(**values))


def test_a_resnet_needs_nothing():
    assert resolve_backbone(Config()) == Config()
