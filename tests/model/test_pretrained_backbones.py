"""Pre-trained weights and the choice of backbone: keras-cv's presets, HAB's own copy of stages."""

import json

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model, build_daaf, resolve_backbone
from daaf_tf.model.weight_files import read_weight_file
from daaf_tf.model.weights import read_arrays, write_weights
from daaf_tf.training.compiling import compile_model

SMALL = {"image_height": 32, "image_width": 32, "head_units": 8, "decoder_channels": 2}
PRESET = {
    "class_name": "ResNetBackbone",
    "weights": "model.weights.h5",
    "config": {
        "stackwise_filters": [4, 8],
        "stackwise_blocks": [1, 1],
        "stackwise_strides": [1, 2],
        "include_rescaling": False,
    },
}


def make_preset(folder):
    """Write a preset folder of random weights; return its config and its weights."""
    (folder / "config.json").write_text(json.dumps(PRESET))
    config = resolve_backbone(
        Config().replace(**SMALL, backbone="keras_cv", backbone_config=str(folder))
    )
    tf.keras.utils.set_random_seed(5)
    backbone = backbone_model(build_daaf(config))
    backbone.save_weights(folder / "model.weights.h5")
    return config, backbone.get_weights()


def test_a_preset_gives_the_network_and_its_weights(tmp_path, capsys):
    config, expected = make_preset(tmp_path)
    model = compile_model(config, read_weight_file(tmp_path))
    for left, right in zip(backbone_model(model).get_weights(), expected):
        np.testing.assert_array_equal(left, right)
    assert f"{len(expected)} tensors loaded" in capsys.readouterr().out


def test_a_preset_is_refused_by_our_resnets(tmp_path):
    make_preset(tmp_path)
    config = Config().replace(**SMALL, backbone="resnet18", backbone_width=4)
    with pytest.raises(UserError, match="a keras-cv preset of ResNetBackbone, but the backbone is"):
        compile_model(config, read_weight_file(tmp_path))


def test_habs_own_copy_starts_as_a_copy(tmp_path):
    config = Config().replace(**SMALL, backbone="resnet18", backbone_width=4, hab_input="copy")
    tf.keras.utils.set_random_seed(5)
    write_weights(backbone_model(build_daaf(config)), tmp_path / "w.h5", "")
    model = compile_model(config, read_weight_file(tmp_path / "w.h5"))
    names = {name.split("/")[0] for name in read_arrays(backbone_model(model))}
    later = [name for name in names if name.startswith(("layer2", "layer3", "layer4"))]
    assert later
    for name in later:
        copy = model.get_layer(f"hab_{name}").get_weights()
        for left, right in zip(model.get_layer(name).get_weights(), copy):
            np.testing.assert_array_equal(left, right)
