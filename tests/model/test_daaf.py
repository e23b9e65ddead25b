"""The whole network, and the claim that its test-time part is the plain baseline."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model, build_daaf, embedding_model

SMALL = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=8,
    head_units=16,
    embedding_size=8,
    decoder_channels=4,
)
BASELINE = SMALL.replace(hab=False, pab=False)
WITH_IDENTITY = {"identity_weight": 1.0, "num_identities": 5}
# The whole of Bag of Tricks.
BAG_OF_TRICKS = {"head": "bnneck", "centre_weight": 5e-4, **WITH_IDENTITY}


@pytest.fixture
def mixed_policy(request):
    tf.keras.mixed_precision.set_global_policy(request.param)
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="module", params=["trinet", "bnneck"])
def head(request):
    """Return the settings of a head and its losses over the identities."""
    return {"trinet": WITH_IDENTITY, "bnneck": BAG_OF_TRICKS}[request.param]


@pytest.fixture(scope="module")
def network(head):
    """Both branches and all outputs, never trained: its weights are those of seed 1."""
    return build(SMALL.replace(**head))


@pytest.fixture(scope="module")
def baseline(head):
    """The plain network, of the same seed."""
    return build(BASELINE.replace(**head))


def build(config, seed=1):
    tf.keras.utils.set_random_seed(seed)
    return build_daaf(config)


def random_images(config, batch=4):
    size = (batch, config.data.image_height, config.data.image_width, 3)
    return tf.constant(np.random.default_rng(0).normal(size=size), tf.float32)


def graph_ops(model):
    """Return (name, type) of every op in the order in which they are traced."""
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    graph = (
        tf.function(lambda image: model(image, training=False)).get_concrete_function(spec).graph
    )
    return [(op.name, op.type) for op in graph.get_operations()]


@pytest.mark.parametrize(
    ("hab", "pab", "last_stride"),
    [(True, True, 1), (True, False, 2), (False, True, 2), (False, False, 1)],
)
def test_outputs(hab, pab, last_stride):
    config = SMALL.replace(hab=hab, pab=pab, last_stride=last_stride)
    outputs = build(config)(random_images(config), training=True)
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    expected = {"embedding": (4, 8)}
    height, width = 64 // last_stride, 32 // last_stride
    if hab:
        expected["mask"] = (4, height, width, 1)
    if pab:
        expected["keypoints"] = (4, height, width, 17)
    assert shapes == expected
    assert all(output.dtype == tf.float32 for output in outputs.values())


def test_outputs_with_a_bnneck():
    config = BASELINE.replace(**BAG_OF_TRICKS)
    outputs = build(config)(random_images(config), training=True)
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        "embedding": (4, 64),  # the backbone's channels
        "feature": (4, 64),
        "logits": (4, 5),
        "centre_distances": (4, 5),
    }


def test_the_embedding_of_a_bnneck_is_the_normalised_feature_and_gives_the_logits():
    model = build(BASELINE.replace(**BAG_OF_TRICKS))
    outputs = {name: value.numpy() for name, value in model(random_images(SMALL)).items()}
    norm = model.get_layer("embedding")
    norm.gamma.assign(np.linspace(0.5, 2, 64))
    outputs = {name: value.numpy() for name, value in model(random_images(SMALL)).items()}
    # The moving statistics are at their start, 0 and 1.
    expected = outputs["feature"] / np.sqrt(1 + 1e-5) * np.linspace(0.5, 2, 64)
    np.testing.assert_allclose(outputs["embedding"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        outputs["logits"], expected @ model.get_layer("logits").kernel.numpy(), atol=1e-6
    )
    differences = outputs["feature"][:, None] - model.get_layer("centre_distances").centres.numpy()
    np.testing.assert_allclose(outputs["centre_distances"], (differences**2).sum(axis=2), rtol=1e-5)


def test_the_centres_of_a_trinet_are_those_of_its_embeddings():
    model = build(BASELINE.replace(centre_weight=1, **WITH_IDENTITY))
    assert model.get_layer("centre_distances").centres.shape == (5, 8)
    assert "feature" not in model.output


@pytest.mark.parametrize(
    ("size", "last_stride", "deconvs"),
    [((65, 33), 2, 4), ((90, 47), 1, 4), ((33, 95), 1, 3)],
)
def test_maps_have_the_configs_target_size_whatever_the_image(size, last_stride, deconvs):
    config = SMALL.replace(
        image_height=size[0],
        image_width=size[1],
        last_stride=last_stride,
        decoder_deconvs=deconvs,
    )
    outputs = build_daaf(config).output
    assert tuple(outputs["mask"].shape[1:3]) == config.target_size
    assert tuple(outputs["keypoints"].shape[1:3]) == config.target_size


def test_settings_arrive():
    config = SMALL.replace(
        backbone="resnet50",
        backbone_width=4,
        decoder_kernel_size=2,
        decoder_norm=False,
        **WITH_IDENTITY,
    )
    model = build_daaf(config)
    assert model.get_layer("layer4_2_conv3").filters == 4 * 32
    assert model.get_layer("head_fc").units == 16
    assert model.get_layer("hab_deconv1").filters == 4
    assert model.get_layer("pab_knees_deconv4").kernel_size == (2, 2)
    assert not any("hab_bn" in layer.name or "pab_head_bn" in layer.name for layer in model.layers)
    assert tuple(model.output["logits"].shape) == (None, 5)


@pytest.mark.parametrize("name", ["identity_weight", "centre_weight"])
def test_losses_over_identities_need_their_number(name):
    with pytest.raises(UserError, match=f"--{name}=0.5 .* --num_identities"):
        build_daaf(SMALL.replace(**{name: 0.5}))


@pytest.mark.parametrize("mixed_policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
@pytest.mark.usefixtures("mixed_policy")
def test_outputs_are_float32_under_mixed_precision(head):
    config = SMALL.replace(**head)
    model = build(config)
    assert model.get_layer("layer4_0_conv1").compute_dtype != "float32"
    outputs = model(random_images(config), training=True)
    assert set(outputs) >= {"embedding", "logits", "mask", "keypoints"}
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    assert all(np.isfinite(output).all() for output in outputs.values())
    assert embedding_model(model)(random_images(config)).dtype == tf.float32


def test_cut_model_has_the_baselines_layers(network, baseline):
    cut, plain = embedding_model(network), embedding_model(baseline)
    described = [
        [(type(layer), layer.get_config()) for layer in model.layers] for model in (cut, plain)
    ]
    assert described[0] == described[1]
    assert len(network.layers) > len(baseline.layers) > len(plain.layers)
    assert network.count_params() > baseline.count_params() > plain.count_params()
    assert cut.count_params() == plain.count_params()


def test_cut_model_has_the_baselines_graph_op_for_op(network, baseline):
    cut = graph_ops(embedding_model(network))
    assert cut == graph_ops(embedding_model(baseline))


def test_cut_model_is_no_less_than_a_network_of_nothing_but_an_embedding():
    plain = build(BASELINE)
    assert list(plain.output) == ["embedding"]
    cut = embedding_model(build(SMALL.replace(**WITH_IDENTITY)))
    assert [kind for _, kind in graph_ops(cut)] == [kind for _, kind in graph_ops(plain)]
    assert cut.count_params() == plain.count_params()


def test_cut_model_holds_no_logits_and_no_centres(network):
    left = {layer.name for layer in network.layers}
    left -= {layer.name for layer in embedding_model(network).layers}
    assert {"logits", "mask", "keypoints"} <= left
    assert {name.partition("_")[0] for name in left} <= {
        "hab", "pab", "mask", "keypoints", "logits", "centre", "feature"
    }  # fmt: skip


def test_cut_model_gives_the_whole_models_embedding_from_the_same_weights(head):
    model = build(SMALL.replace(**head))
    cut = embedding_model(model)
    assert {id(weight) for weight in cut.weights} < {id(weight) for weight in model.weights}
    images = random_images(SMALL)
    model(images, training=True)  # moves the batch norms off their start
    np.testing.assert_array_equal(cut(images), model(images)["embedding"])


def test_one_seed_gives_one_start_with_and_without_branches(network, baseline):
    weights = {weight.name: weight.numpy() for weight in network.weights}
    shared = {weight.name: weight.numpy() for weight in baseline.weights}
    assert shared.keys() < weights.keys()
    assert all(np.array_equal(value, weights[name]) for name, value in shared.items())
    other = build(BASELINE, seed=2).get_layer("conv1").kernel.numpy()
    assert not np.array_equal(other, shared["conv1/kernel:0"])


@pytest.mark.parametrize("branch", ["mask", "keypoints"])
def test_branch_loss_teaches_the_last_stage(branch, network):
    weights = network.get_layer("layer4_1_conv2").trainable_weights
    weights += network.get_layer("conv1").trainable_weights
    with tf.GradientTape() as tape:
        predicted = network(random_images(SMALL))[branch]
        loss = tf.reduce_mean((predicted - 0.5) ** 2)
    for gradient in tape.gradient(loss, weights):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def test_model_is_rebuilt_from_its_own_config(network):
    copy = tf.keras.Model.from_config(network.get_config())
    copy.set_weights(network.get_weights())
    images = random_images(SMALL)
    for name, output in network(images).items():
        np.testing.assert_array_equal(copy(images)[name], output)


def test_the_backbone_is_what_the_head_pools(network, baseline):
    for model in (network, baseline):
        backbone = backbone_model(model)
        assert backbone.output_shape == (None, 2, 1, 64)
        assert {layer.name for layer in backbone.layers if layer.weights} == {
            layer.name
            for layer in model.layers
            if layer.weights and layer.name.startswith(("conv1", "bn1", "layer"))
        }
    first = backbone_model(network).weights[0]
    assert first is network.get_layer("conv1").kernel


def test_a_backbone_that_is_a_model_of_its_own_is_returned_as_such():
    inner = tf.keras.Sequential(
        [tf.keras.Input((8, 8, 3)), tf.keras.layers.Conv2D(4, 3)], name="backbone"
    )
    image = tf.keras.Input((8, 8, 3))
    scaled = tf.keras.layers.Rescaling(255.0)(image)
    pooled = tf.keras.layers.GlobalAveragePooling2D(name="head_pool")(inner(scaled))
    assert backbone_model(tf.keras.Model(image, {"embedding": pooled})) is inner
