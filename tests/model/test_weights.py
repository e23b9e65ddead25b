"""A backbone takes the weights of every framework whole, and another network's not at all."""

from __future__ import annotations

import functools
import json

import h5py
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from weight_samples import mindspore, to_mindspore, torch_legacy, torch_tensors, torch_zip

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model, build_daaf
from daaf_tf.model.resnet import resnet_features
from daaf_tf.model.weight_files import read_weight_file
from daaf_tf.model.weights import load_weights, read_arrays, write_weights

WIDTH = 4


def build(backbone="resnet18", width=WIDTH):
    """Return the one backbone of this kind; loads overwrite all of it, refusals nothing."""
    return build_once(backbone, width)


@functools.cache
def build_once(backbone, width):
    image = tf.keras.Input((32, 32, 3))
    return tf.keras.Model(image, resnet_features(image, backbone=backbone, width=width))


@functools.cache
def shapes(backbone="resnet18", width=WIDTH):
    return {name: array.shape for name, array in read_arrays(build(backbone, width)).items()}


def tensors(backbone="resnet18", width=WIDTH, **options):
    return torch_tensors(shapes(backbone, width), **options)


def load(tmp_path, content, backbone="resnet18", width=WIDTH, name="weights"):
    path = tmp_path / name
    path.write_bytes(content)
    model = build(backbone, width)
    model.set_weights([np.zeros(weight.shape, np.float32) for weight in model.weights])
    return load_weights(model, read_weight_file(path))


def assert_loaded(expected, backbone="resnet18"):
    """Check layer by layer, in torch's own terms, that a backbone has these tensors."""
    model = build(backbone)
    for layer in model.layers:
        name = layer.name.replace("_", ".")
        if isinstance(layer, tf.keras.layers.Conv2D):
            kernel = expected[f"{name}.weight"]
            for (row, column), patch in np.ndenumerate(np.zeros(kernel.shape[2:])):
                np.testing.assert_array_equal(
                    layer.kernel[row, column], kernel[:, :, row, column].T + patch
                )
        elif isinstance(layer, tf.keras.layers.BatchNormalization):
            np.testing.assert_array_equal(layer.gamma, expected[f"{name}.weight"])
            np.testing.assert_array_equal(layer.beta, expected[f"{name}.bias"])
            np.testing.assert_array_equal(layer.moving_mean, expected[f"{name}.running_mean"])
            np.testing.assert_array_equal(layer.moving_variance, expected[f"{name}.running_var"])


def assert_refused(tmp_path, content, message, **model):
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, content, **model)
    assert len(str(caught.value).splitlines()) == 1
    left = build(model.get("backbone", "resnet18"), model.get("width", WIDTH))
    assert not any(np.any(weight) for weight in left.get_weights()), "it was half loaded"
    return str(caught.value)


@pytest.mark.parametrize("write", [torch_zip, torch_legacy, safetensors.numpy.save])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_torch_and_timm(tmp_path, write, backbone):
    given = tensors(backbone)
    report = load(tmp_path, write(given), backbone)
    assert_loaded(given, backbone)
    counters = [name for name in given if name.endswith("num_batches_tracked")]
    assert set(report.skipped) == {"fc.weight", "fc.bias", *counters}
    assert set(report.loaded) == set(given) - set(report.skipped)
    assert (report.missing, report.mismatched, report.foreign, report.notes) == ((), (), (), ())
    assert f"{backbone} of width 4): {len(report.loaded)} tensors loaded" in str(report)
    assert report.skipped[0].startswith("fc.")


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.base."])
def test_prefixes(tmp_path, prefix):
    given = tensors()
    renamed = {prefix + name: array for name, array in given.items()}
    renamed["classifier.weight"] = np.ones((2, 2), np.float32)
    report = load(tmp_path, torch_zip({"state_dict": renamed}))
    assert_loaded(given)
    assert "classifier.weight" in report.skipped


def test_half_precision_becomes_float32(tmp_path):
    given = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in tensors().items()
    }
    load(tmp_path, torch_zip(given))
    assert_loaded(given)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_mindspore(tmp_path, backbone):
    given = {name: array for name, array in tensors(backbone).items() if "num_batches" not in name}
    renamed = to_mindspore(given)
    if backbone == "resnet18":  # as the zoo has it
        renamed = {
            name.replace(".bn1.", ".bn1d.").replace(".bn2.", ".bn2d."): array
            for name, array in renamed.items()
        }
        assert "layer1.0.bn1d.gamma" in renamed
    assert {"bn1.gamma", "layer2.0.down_sample_layer.1.moving_variance"} <= set(renamed)
    momentum = {f"moments.{name}": np.zeros_like(array) for name, array in renamed.items()}
    step = {"global_step": np.array([7], np.int32)}
    report = load(tmp_path, mindspore({**momentum, **renamed, **step}), backbone)
    assert_loaded(given, backbone)
    assert {"global_step", "fc.weight", "moments.conv1.weight"} <= set(report.skipped)
    assert "epsilon of 1e-4" in str(report)
    assert "pad mode 'same'" in str(report)


@pytest.mark.parametrize("name", ["w.safetensors", "w.h5", "w.weights.h5"])
def test_what_is_written_is_read_back_exactly(tmp_path, name):
    load(tmp_path, torch_zip(tensors("resnet50")), "resnet50")
    before = build("resnet50").get_weights()
    write_weights(build("resnet50"), tmp_path / name, "resnet50 of width 4")
    report = load(tmp_path, (tmp_path / name).read_bytes(), "resnet50")
    assert (len(report.loaded), report.skipped) == (len(before), ())
    for left, right in zip(before, build("resnet50").get_weights()):
        np.testing.assert_array_equal(left, right)
    for other in ("resnet18", "resnet101"):
        content = (tmp_path / name).read_bytes()
        assert_refused(tmp_path, content, r"the file holds .*, expected", backbone=other)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        write_weights(build(), tmp_path / name, "resnet18 of width 4")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_wrong_outputs_are_named(tmp_path):
    with pytest.raises(UserError, match=r"w.pth: expected a name that ends in .safetensors or .h5"):
        write_weights(build(), tmp_path / "w.pth", "")
    with pytest.raises(UserError, match="cannot be written: No such file"):
        write_weights(build(), tmp_path / "nowhere" / "w.h5", "")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_networks_keras_file_gives_its_backbone(tmp_path):
    config = Config().replace(
        backbone="resnet18", backbone_width=WIDTH, image_height=32, image_width=32, head_units=4
    )
    model = build_daaf(config)
    expected = read_arrays(backbone_model(model))
    for name in ("whole.h5", "whole.weights.h5"):
        model.save_weights(tmp_path / name)
        report = load(tmp_path, (tmp_path / name).read_bytes())
        for variable, array in read_arrays(build()).items():
            np.testing.assert_array_equal(array, expected[variable])
        assert len(report.skipped) == len(model.weights) - len(expected)


OTHERS = {
    "resnet34 into resnet18": (
        "resnet34",
        "resnet18",
        r"holds resnet34 of width 4, expected resne"
        r"t18 of width 4: 80 are of other layers \(layer1.2.conv1.weight",
    ),
    "resnet101 into resnet50": ("resnet101", "resnet50", "holds resnet101 .* other layers"),
    "resnet18 into resnet50": (
        "resnet18",
        "resnet50",
        r"holds resnet18 .* expected resnet50 .*: 165"
        " tensors are missing",
    ),
    "resnet50 into resnet18": ("resnet50", "resnet18", "holds resnet50 .* expected resnet18"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_depth_is_refused(tmp_path, case):
    found, expected, message = OTHERS[case]
    assert_refused(tmp_path, torch_zip(tensors(found)), message, backbone=expected)


def test_another_width_is_refused_with_the_first_shape(tmp_path):
    message = (
        r"holds resnet18 of width 4, expected resnet18 of width 8: conv1.weight has shape "
        r"\(4, 3, 7, 7\), expected \(8, 3, 7, 7\) \(and 99 more\)"
    )
    assert_refused(tmp_path, torch_zip(tensors()), message, width=8)


def change(given, **changes):
    """Return a copy with tensors changed; None removes one."""
    changed = {**given, **{name.replace("__", "."): array for name, array in changes.items()}}
    return {name: array for name, array in changed.items() if array is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bn1__running_mean": None}, r"1 tensors are missing \(bn1.running_mean\)"),
        ({"layer1__0__se__fc__weight": np.ones(2)}, r"1 are of other layers \(layer1.0.se.fc.wei"),
        ({"conv1__bias": np.ones(4)}, r"other layers \(conv1.bias\)"),
        ({"layer1__0__conv1__weight": np.ones((4, 2, 3, 3))}, r"conv1.weight has shape \(4, 2, 3"),
        ({"bn1__weight": np.float32([1, np.nan, 1, 1])}, "not finite, in bn1/gamma"),
    ],
)
def test_other_networks_of_the_same_depth_are_refused(tmp_path, changes, message):
    given = change(tensors(), **changes)
    assert_refused(tmp_path, torch_zip(given), message)


def test_wide_and_grouped_networks_are_described(tmp_path):
    given = change(tensors("resnet50"), layer1__0__conv1__weight=np.ones((8, 4, 1, 1)))
    assert_refused(tmp_path, torch_zip(given), "wide ResNet or a ResNeXt", backbone="resnet50")


def test_no_resnet_is_described(tmp_path):
    given = {"features.0.weight": np.ones((2, 3, 3, 3)), "features.0.bias": np.ones(2)}
    message = r"holds no ResNet of torchvision's layout \(tensors features.0.weight, features.0.bi"
    assert_refused(tmp_path, torch_zip(given), message)


def test_two_networks_in_one_file_are_refused(tmp_path):
    given = {
        prefix + name: array for prefix in ("query.", "key.") for name, array in tensors().items()
    }
    assert_refused(tmp_path, torch_zip(given), "several networks, under key., query.; expected one")


def test_mindspore_files_cut_between_tensors_are_refused(tmp_path):
    given = to_mindspore(tensors(classifier=False))
    given = {name: array for name, array in given.items() if "num_batches" not in name}
    last = mindspore({list(given)[-1]: list(given.values())[-1]})
    content = mindspore(given)
    load(tmp_path, content)
    assert_refused(tmp_path, content[: -len(last)], "1 tensors are missing")


def write_h5(path, names, by_path=False):
    with h5py.File(path, "w") as file:
        for index, name in enumerate(names):
            if by_path:
                group = file.create_group(f"layers/conv2d_{index}/vars")
                group.attrs["name"] = name
                group["0"] = np.ones((1, 1, 3, 4), np.float32)
            else:
                file[f"{name}/{name}/kernel:0"] = np.ones((1, 1, 3, 4), np.float32)


@pytest.mark.parametrize("by_path", [False, True])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv2_block1_1_conv", "keras.applications' ResNet is another network: stride on the 1x1"),
        ("res2a_branch2a", "keras.applications' ResNet is another network"),
        ("v2_stack_0_block1_1_conv", "keras-cv's ResNet is another network: stride on the 1x1"),
    ],
)
def test_resnets_of_keras_are_refused_with_the_reason(tmp_path, name, message, by_path):
    write_h5(tmp_path / "w", [name], by_path)
    assert_refused(tmp_path, (tmp_path / "w").read_bytes(), message)


def test_the_real_resnet_of_keras_applications_is_refused(tmp_path):
    model = tf.keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    for name in ("w.h5", "w.weights.h5"):
        model.save_weights(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        assert_refused(tmp_path, content, "keras.applications' ResNet", backbone="resnet50")


def keras_cv_resnet(**sizes):
    from keras_cv.models import ResNetBackbone

    return ResNetBackbone(
        stackwise_filters=[4, 8],
        stackwise_blocks=sizes.get("blocks", [1, 1]),
        stackwise_strides=[1, 2],
        include_rescaling=False,
        input_shape=(32, 32, 3),
    )


def test_keras_cv_presets_go_into_their_own_network_alone(tmp_path):
    tf.keras.utils.set_random_seed(0)
    saved, backbone = keras_cv_resnet(), keras_cv_resnet()
    saved.save_weights(tmp_path / "model.weights.h5")
    config = tf.keras.saving.serialize_keras_object(saved)
    config["weights"] = "model.weights.h5"
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = load_weights(backbone, read_weight_file(tmp_path))
    assert (len(report.loaded), report.skipped) == (len(saved.weights), ())
    for left, right in zip(saved.get_weights(), backbone.get_weights()):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(UserError, match="preset of ResNetBackbone, but the backbone is one of our"):
        load_weights(build("resnet50"), read_weight_file(tmp_path))
    for blocks, message in (([1, 2], "tensors are missing"), ([2, 1], "has shape|are missing")):
        with pytest.raises(UserError, match=message):
            load_weights(keras_cv_resnet(blocks=blocks), read_weight_file(tmp_path))
    config["class_name"] = "MobileNetV3Backbone"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="preset of MobileNetV3Backbone, but the backbone is a Re"):
        load_weights(backbone, read_weight_file(tmp_path))


def test_another_backbone_takes_no_torch_file_and_no_deeper_network(tmp_path):
    backbone = keras_cv_resnet()
    (tmp_path / "w.pth").write_bytes(torch_zip(tensors()))
    with pytest.raises(UserError, match="expected for this backbone a Keras file"):
        load_weights(backbone, read_weight_file(tmp_path / "w.pth"))
    write_weights(keras_cv_resnet(blocks=[1, 2]), tmp_path / "w.safetensors", "")
    with pytest.raises(UserError, match="are of other layers"):
        load_weights(backbone, read_weight_file(tmp_path / "w.safetensors"))
    write_weights(backbone, tmp_path / "w.safetensors", "")
    load_weights(keras_cv_resnet(), read_weight_file(tmp_path / "w.safetensors"))
