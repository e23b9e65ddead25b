"""The authors' variants: parameters by hand, who learns from what, and the presets."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config, settings
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.model.attention import holistic_attention, partial_attention
from daaf_tf.sections.model import ModelConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRESETS = ("trinet_tf1", "bot_pytorch", "mindspore")
NETWORK = {
    "image_height": 32,
    "image_width": 32,
    "backbone": "resnet18",
    "backbone_width": 8,
    "head_units": 8,
    "embedding_size": 4,
    "decoder_channels": 2,
}
VARIANTS = {
    "trinet_tf1": {
        "hab_channels": (20, 63),
        "pab_group_channels": "all",
        "pab_shared_decoder": True,
    },
    "bot_pytorch": {
        "last_stride": 1,
        "pab_group_channels": "9",
        "pab_shared_decoder": True,
        "decoder_kernel_size": 2,
        "decoder_norm": False,
        "decoder_output": "linear",
    },
    "copy": {"hab_input": "copy"},
}


def build_branch(branch, shape=(2, 1, 64), **values):
    tf.keras.utils.set_random_seed(0)
    features = tf.keras.Input(shape)
    chosen = ModelConfig(**{"decoder_channels": 4, **values})
    return tf.keras.Model(features, branch(features, chosen))


def build_network(**values):
    tf.keras.utils.set_random_seed(1)
    return build_daaf(Config().replace(**{**NETWORK, **values}))


def count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def random_features(shape=(2, 1, 64), batch=2):
    return tf.constant(np.random.default_rng(0).normal(size=(batch, *shape)), tf.float32)


def read_preset(name):
    """Return {flag: value} of a preset's flagfile, as texts."""
    text = (ROOT / f"configs/variant_{name}.flags").read_text(encoding="utf-8")
    return dict(re.findall(r"^--(\w+)=(\S+)$", text, re.MULTILINE))


def preset_config(name):
    values = {}
    for flag, text in read_preset(name).items():
        kind = type(settings()[flag][1].default)
        if kind is tuple:
            values[flag] = tuple(map(int, text.split(",")))
        else:
            values[flag] = text == "true" if kind is bool else kind(text)
    return Config().replace(**values)


# Four deconvolutions of 64 channels, on maps of C channels: C x 64 x k x k + 3 x 64 x 64 x k x k.
@pytest.mark.parametrize(
    ("name", "branch", "expected"),
    [
        ("trinet_tf1", holistic_attention, 9 * 64 * (1028 + 3 * 64) + 4 * 128 + 64 + 1),
        ("trinet_tf1", partial_attention, 9 * 64 * (2048 + 3 * 64) + 4 * 128 + 17 * 65),
        ("bot_pytorch", holistic_attention, 4 * 64 * (2048 + 3 * 64) + 4 * 64 + 64 + 1),
        ("bot_pytorch", partial_attention, 4 * 64 * (340 + 3 * 64) + 4 * 64 + 17 * 65),
        ("mindspore", holistic_attention, 4 * 64 * (2048 + 3 * 64) + 4 * 64 + 64 + 1),
        ("mindspore", partial_attention, 4 * 64 * (340 + 3 * 64) + 4 * 64 + 17 * 65),
    ],
)
def test_each_code_base_has_its_branches_parameters(name, branch, expected):
    features = tf.keras.Input((8, 4, 2048))
    model = tf.keras.Model(features, branch(features, preset_config(name).model))
    assert count(model) == expected
    assert model.output_shape[1:3] == (128, 64)


@pytest.mark.parametrize("norm", [True, False])
def test_unshared_stacks_on_all_channels_have_six_times_the_parameters(norm):
    values = {"pab_group_channels": "all", "decoder_norm": norm}
    shared = count(build_branch(partial_attention, pab_shared_decoder=True, **values))
    own = count(build_branch(partial_attention, **values))
    predictions = 17 * (4 + 1)
    assert own - predictions == 6 * (shared - predictions)


@pytest.mark.parametrize("branch", [holistic_attention, partial_attention])
def test_linear_maps_are_not_held_in_0_1_and_start_near_the_targets_mean(branch):
    prior = 0.3 if branch is holistic_attention else 0.01
    model = build_branch(branch, decoder_output="linear")
    np.testing.assert_allclose(model(0 * random_features()), prior, rtol=1e-5)
    loud = model(1e4 * random_features()).numpy()
    assert loud.min() < 0
    assert loud.max() > 1


def reached_channels(model, features, joints):
    """Return which channels change the maps of some joints, in inference."""
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = tf.reduce_sum(tf.gather(model(features, training=False), joints, axis=-1) ** 2)
    return np.abs(tape.gradient(loss, features).numpy()).max(axis=(0, 1, 2)) > 0


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("channels", "size"), [("sixth", 10), ("9", 9), ("all", None)])
def test_which_channels_answer_for_which_joints(channels, size, shared):
    model = build_branch(partial_attention, pab_group_channels=channels, pab_shared_decoder=shared)
    features = random_features()
    for index, (_, joints) in enumerate(schema.JOINT_GROUPS):
        own = np.ones(64, bool) if size is None else np.arange(64) // size == index
        np.testing.assert_array_equal(reached_channels(model, features, joints), own)


def test_the_shared_stack_does_to_every_group_what_it_does_to_one():
    model = build_branch(partial_attention, pab_shared_decoder=True, decoder_norm=False)
    layer = model.get_layer("pab_conv")
    layer.set_weights([np.ones(layer.kernel.shape), np.zeros(17)])
    group = random_features((2, 1, 10))
    repeated = tf.concat([group] * 6 + [tf.zeros((2, 2, 1, 4))], axis=-1)
    maps = model(repeated).numpy()
    np.testing.assert_allclose(maps, np.repeat(maps[..., :1], 17, axis=-1), rtol=1e-6)


def test_own_stacks_differ():
    maps = build_branch(partial_attention, pab_group_channels="all")(random_features()).numpy()
    assert len({maps[..., joints[0]].tobytes() for _, joints in schema.JOINT_GROUPS}) == 6


def test_hab_reads_its_range_alone():
    model = build_branch(holistic_attention, hab_channels=(20, 23))
    with tf.GradientTape() as tape:
        features = random_features()
        tape.watch(features)
        loss = tf.reduce_sum(model(features, training=True) ** 2)
    reached = np.abs(tape.gradient(loss, features).numpy()).max(axis=(0, 1, 2)) > 0
    assert np.flatnonzero(reached).tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("hab_input", ["last_stage", "copy"])
def test_the_mask_teaches_the_later_stages_unless_it_has_its_own(hab_input):
    network = build_network(hab_input=hab_input)
    early = [network.get_layer(name).kernel for name in ("conv1", "layer1_1_conv2")]
    late = [network.get_layer(f"layer{stage}_1_conv2").kernel for stage in (2, 3, 4)]
    own = [w for w in network.trainable_weights if w.name.startswith("hab_layer")]
    images = random_features((32, 32, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((network(images, training=True)[schema.MASK] - 0.5) ** 2)
    gradients = tape.gradient(loss, [*early, *late, *own])
    taught = [g is not None and bool(np.abs(g).max() > 0) for g in gradients]
    assert taught[:2] == [True, True]
    assert taught[2:5] == [hab_input == "last_stage"] * 3
    assert taught[5:] == [True] * len(own)
    assert bool(own) == (hab_input == "copy")


def test_the_copy_is_as_large_as_stages_2_to_4():
    def later(prefix, model):
        shapes = [w.shape for w in model.trainable_weights if re.match(prefix, w.name)]
        return [tuple(shape) for shape in shapes]

    network = build_network(hab_input="copy", last_stride=1)
    assert later("hab_layer[234]", network) == later("layer[234]", network)
    assert later("hab_layer1|hab_conv1", network) == []
    assert network.output[schema.MASK].shape[1:3] == (32, 32)


def describe(model):
    return [(type(layer), layer.get_config()) for layer in model.layers]


def graph_ops(model):
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    graph = tf.function(lambda image: model(image, training=False)).get_concrete_function(spec)
    return [(op.name, op.type) for op in graph.graph.get_operations()]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_cut_model_is_the_plain_baseline(name):
    values = VARIANTS[name]
    network = build_network(**values)
    stride = {"last_stride": values.get("last_stride", 2)}
    baseline = build_network(hab=False, pab=False, **stride)
    cut, plain = embedding_model(network), embedding_model(baseline)
    assert describe(cut) == describe(plain)
    assert graph_ops(cut) == graph_ops(plain)
    starts = zip(cut.weights, plain.weights)
    assert all(np.array_equal(left, right) for left, right in starts)


@pytest.mark.parametrize(
    ("branch", "values"),
    [
        (holistic_attention, {"hab_channels": (3, 50), "decoder_output": "linear"}),
        (partial_attention, {"pab_group_channels": "7", "pab_shared_decoder": True}),
    ],
)
def test_a_branch_is_rebuilt_from_its_own_config(branch, values):
    model = build_branch(branch, **values)
    copy = tf.keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    features = random_features()
    np.testing.assert_array_equal(copy(features), model(features))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hab_channels": (20, 64)}, "--hab_channels=20,64: the last feature map has only 64"),
        ({"pab_group_channels": "11"}, "--pab_group_channels=11: 6 groups of 11 .* map's 64"),
    ],
)
def test_branches_that_need_more_channels_than_there_are(values, message):
    with pytest.raises(UserError, match=message):
        build_network(**values)


def test_fewer_channels_than_groups():
    with pytest.raises(UserError, match="--pab_group_channels=sixth: 6 groups of 1 channels"):
        build_branch(partial_attention, (2, 1, 5))


def test_presets_hold_what_the_table_says():
    trinet, bot, mindspore = (preset_config(name) for name in PRESETS)
    assert trinet.model.hab_channels == (1020, 2047)
    assert trinet.target_size == mindspore.target_size == (128, 64)
    assert bot.target_size == (256, 128)
    assert {config.model.hab_input for config in (trinet, bot, mindspore)} == {"last_stage"}
    assert (bot.loss.keypoints_weight, bot.loss.mask_weight) == (65, 20)
    assert mindspore.loss.keypoints_weight == pytest.approx(1e-5 * 255**2)
    assert trinet.loss.keypoints_weight == pytest.approx(72 * 1e-7)
    assert trinet.loss.mask_weight == pytest.approx(72 * 6e-8)
    assert [config.loss.margin for config in (trinet, bot, mindspore)] == ["soft", "0.3", "1.2"]


def test_the_page_names_every_flag_of_the_presets():
    page = (ROOT / "docs/variants.md").read_text(encoding="utf-8")
    flags = {flag for name in PRESETS for flag in read_preset(name)}
    assert [flag for flag in sorted(flags) if f"`--{flag}=" not in page] == []
    named = set(re.findall(r"--(?:no)?(\w+)", page))
    assert named - {"flagfile", "data_dir", "model_dir", "pretrained"} <= set(settings())
