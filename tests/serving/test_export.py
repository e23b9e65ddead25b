"""The SavedModel: what is in it, that it equals evaluation's path, that it is whole or absent."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tiny_export import CONFIG, make_jpegs, preprocess

import daaf_tf
from daaf_tf.config import from_json
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.serving import export, write_saved_model

# Runs without the project: what a stranger with TensorFlow would type.
STRANGER = """
import sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    encoded = file.read()
pixels = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")
np.savez(
    sys.argv[3],
    encoded=model.signatures["encoded"](encoded=tf.constant([encoded, encoded]))["embedding"],
    pixels=model.signatures["serving_default"](images=pixels[None])["embedding"],
)
assert not [name for name in sys.modules if name.startswith("daaf_tf")]
"""


@pytest.fixture(scope="module")
def daaf(network):
    return network


@pytest.fixture(scope="module")
def model(plain):
    return plain


@pytest.fixture(scope="module")
def tiny():
    """A model that is quickly written, for the tests of files and folders."""
    image = tf.keras.Input((64, 32, 3))
    features = tf.keras.layers.GlobalAveragePooling2D()(image)
    return tf.keras.Model(image, tf.keras.layers.Dense(8)(features))


@pytest.fixture(scope="module")
def version(model, tmp_path_factory):
    return pathlib.Path(write_saved_model(model, CONFIG, tmp_path_factory.mktemp("exported")))


@pytest.fixture(scope="module")
def loaded(version):
    return tf.saved_model.load(str(version))


@pytest.fixture(scope="module")
def signatures(loaded):
    return loaded.signatures


@pytest.fixture(scope="module")
def jpegs():
    """Encoded images of different sizes, none of them the network's."""
    return make_jpegs()


def evaluated(model, encoded):
    """The embeddings that evaluation computes."""
    return model(preprocess(encoded), training=False).numpy()


def graph_functions(version):
    saved_model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    return saved_model.meta_graphs[0].graph_def.library.function


def test_a_stranger_gets_the_embeddings_of_evaluation(version, model, jpegs, tmp_path):
    image = tmp_path / "person.jpg"
    image.write_bytes(jpegs[0])
    kept = ("PATH", "LD_LIBRARY_PATH", "HOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    subprocess.run(
        [sys.executable, "-c", STRANGER, str(version.resolve()), image, tmp_path / "out.npz"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
    )
    expected = evaluated(model, jpegs[:1])
    assert np.abs(expected).max() > 0.01
    with np.load(tmp_path / "out.npz") as received:
        np.testing.assert_allclose(received["encoded"], np.tile(expected, (2, 1)), atol=1e-5)
        np.testing.assert_allclose(received["pixels"], expected, atol=1e-5)


def test_encoded_takes_a_batch_of_mixed_sizes(signatures, model, jpegs):
    received = signatures["encoded"](encoded=tf.constant(jpegs))["embedding"]
    assert received.dtype == tf.float32
    np.testing.assert_allclose(received, evaluated(model, jpegs), atol=1e-5)


def test_pixels_give_what_encoded_gives(signatures, jpegs):
    for encoded in jpegs:
        pixels = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")
        np.testing.assert_allclose(
            signatures["serving_default"](images=tf.stack([pixels] * 3))["embedding"],
            signatures["encoded"](encoded=tf.constant([encoded] * 3))["embedding"],
            atol=1e-5,
        )


def test_png_and_pixels_agree(signatures):
    pixels = np.random.default_rng(3).integers(0, 256, (50, 30, 3)).astype(np.uint8)
    np.testing.assert_allclose(
        signatures["encoded"](encoded=tf.io.encode_png(pixels)[None])["embedding"],
        signatures["serving_default"](images=pixels[None])["embedding"],
        atol=1e-5,
    )


def test_a_batch_of_none_gives_none(signatures):
    strings = signatures["encoded"](encoded=tf.zeros([0], tf.string))
    pixels = signatures["serving_default"](images=tf.zeros([0, 10, 20, 3], tf.uint8))
    assert strings["embedding"].shape == pixels["embedding"].shape == (0, 8)


def test_signatures_say_what_they_take_and_give(signatures):
    def spec(name):
        return signatures[name].structured_input_signature[1]

    assert sorted(signatures) == ["encoded", "serving_default"]
    images = spec("serving_default")["images"]
    assert (images.shape.as_list(), images.dtype) == ([None, None, None, 3], tf.uint8)
    encoded = spec("encoded")["encoded"]
    assert (encoded.shape.as_list(), encoded.dtype) == ([None], tf.string)
    for signature in signatures.values():
        assert list(signature.structured_outputs) == ["embedding"]
        assert signature.structured_outputs["embedding"].shape.as_list() == [None, 8]


def test_the_branches_are_not_in_it(version, daaf, model):
    nodes = [node for function in graph_functions(version) for node in function.node_def]
    assert not [node.name for node in nodes if node.op == "Conv2DBackpropInput"]
    stored = dict(tf.train.list_variables(str(version / "variables" / "variables")))
    shapes = [shape for name, shape in stored.items() if "VARIABLE_VALUE" in name]
    assert sum(np.prod(shape, dtype=int) for shape in shapes) == model.count_params()
    assert model.count_params() < daaf.count_params()


def test_the_baseline_exports_to_the_same_ops(version, tmp_path):
    baseline = embedding_model(build_daaf(CONFIG.replace(hab=False, pab=False)))
    other = pathlib.Path(write_saved_model(baseline, CONFIG, tmp_path))

    def ops(path):
        return sorted(node.op for function in graph_functions(path) for node in function.node_def)

    assert ops(other) == ops(version)


def test_strings_are_decoded_on_the_cpu(version):
    nodes = [node for function in graph_functions(version) for node in function.node_def]
    # The loop's body is placed where the loop is.
    loops = [node for node in nodes if node.op in ("StatelessWhile", "While")]
    assert loops
    assert all("CPU:0" in node.device for node in loops)


def test_it_holds_no_keras(version):
    assert not (version / "keras_metadata.pb").exists()
    saved_model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    nodes = saved_model.meta_graphs[0].object_graph_def.nodes
    assert not [node for node in nodes if "keras" in node.user_object.identifier]


def test_the_description_beside_it(tiny, tmp_path):
    version = pathlib.Path(
        write_saved_model(
            tiny, CONFIG, tmp_path, description="a test", facts={"metrics": {"mAP": 12.5}}
        )
    )
    facts = json.loads((version / export.DESCRIPTION_FILE).read_text(encoding="utf-8"))
    assert facts["description"] == "a test"
    assert facts["metrics"] == {"mAP": 12.5}
    assert (facts["input_height"], facts["input_width"], facts["embedding_size"]) == (64, 32, 8)
    assert facts["daaf_tf_version"] == daaf_tf.__version__
    assert facts["parameters"] == tiny.count_params()
    assert from_json(json.dumps(facts["config"])) == CONFIG


def test_versions_count_up_and_are_readable_by_others(tiny, tmp_path):
    output = tmp_path / "new" / "folder"
    assert write_saved_model(tiny, CONFIG, output) == str(output / "1")
    (output / "7").mkdir()
    (output / "models.config").write_text("kept")
    assert write_saved_model(tiny, CONFIG, output) == str(output / "8")
    assert sorted(os.listdir(output)) == ["1", "7", "8", "models.config"]
    assert (output / "8").stat().st_mode == (output / "7").stat().st_mode


def test_a_number_taken_meanwhile_is_passed_over(tmp_path, monkeypatch):
    source = tmp_path / ".source"
    source.mkdir()
    rename = os.rename

    def take_the_number_first(old, new):
        if not (tmp_path / "1").exists():
            (tmp_path / "1" / "of_another").mkdir(parents=True)
        rename(old, new)

    monkeypatch.setattr(os, "rename", take_the_number_first)
    assert export._rename_to_next_version(source, tmp_path) == tmp_path / "2"
    assert (tmp_path / "1" / "of_another").is_dir()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_export_leaves_nothing(tiny, tmp_path, monkeypatch, failure):
    save = tf.saved_model.save

    def stop_after_saving(*args, **kwargs):
        save(*args, **kwargs)
        raise failure

    write_saved_model(tiny, CONFIG, tmp_path)
    monkeypatch.setattr(tf.saved_model, "save", stop_after_saving)
    with pytest.raises(failure):
        write_saved_model(tiny, CONFIG, tmp_path)
    assert os.listdir(tmp_path) == ["1"]


def test_a_full_disk_leaves_nothing(tiny, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    try:
        with pytest.raises(UserError, match=r"could not be written \(.*too large\); nothing of it"):
            write_saved_model(tiny, CONFIG, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_output_dir_that_is_a_file(tiny, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="--output_dir=.*expected a folder, found a file"):
        write_saved_model(tiny, CONFIG, file)
    with pytest.raises(UserError, match="could not be written"):
        write_saved_model(tiny, CONFIG, file / "below")
    assert file.read_text() == "mine"


def test_output_dir_that_holds_something_else(version, tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="exported versions, found thesis.tex"):
        write_saved_model(tiny, CONFIG, tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(UserError, match="found assets, assets.extra, .*saved_model.pb"):
        write_saved_model(tiny, CONFIG, version)


def test_a_model_with_branches_is_refused(daaf, tmp_path):
    with pytest.raises(ValueError, match="expected the embedding model"):
        write_saved_model(daaf, CONFIG, tmp_path)


def test_another_size_than_the_config_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="the config says"):
        write_saved_model(model, CONFIG.replace(image_height=96), tmp_path)


def test_reduced_precision_is_refused(tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = embedding_model(build_daaf(CONFIG))
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    with pytest.raises(ValueError, match="float32 policy, found .*bfloat16"):
        write_saved_model(model, CONFIG, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_figure_that_json_cannot_hold_is_refused_before_writing(tiny, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_saved_model(tiny, CONFIG, tmp_path, facts={"metrics": {"mAP": float("nan")}})
    assert os.listdir(tmp_path) == []
