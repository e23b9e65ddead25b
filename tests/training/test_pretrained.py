"""What a run's backbone starts from: found, checked by its digest, and needed only once."""

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from daaf_tf.config import Config, differences
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model, build_daaf
from daaf_tf.model.precision import dtype_policy
from daaf_tf.model.weights import read_arrays, write_weights
from daaf_tf.training.checkpoints import Checkpoints, prepare_model_dir
from daaf_tf.training.compiling import compile_model
from daaf_tf.training.pretrained import read_pretrained, resolve_pretrained


def make_config(**values):
    return Config().replace(
        backbone="resnet18",
        backbone_width=4,
        head_units=8,
        embedding_size=4,
        image_height=32,
        image_width=32,
        hab=False,
        pab=False,
        identity_weight=0.0,
        **values,
    )


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(5)
    return build_daaf(make_config())


@pytest.fixture
def weights(model, tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(backbone_model(model), path, "resnet18 of width 4")
    return path


def begin(model_dir, config, model):
    """Make the folder of a run that has saved a step."""
    prepare_model_dir(str(model_dir), config, "")
    Checkpoints(str(model_dir), model=model).save(1)


def test_without_a_file_nothing_is_read(tmp_path):
    config = make_config()
    assert resolve_pretrained(config, str(tmp_path)) == config
    assert read_pretrained(config) is None


def test_the_digest_is_noted_and_checked(weights, tmp_path):
    config = make_config(pretrained=str(weights))
    resolved = resolve_pretrained(config, str(tmp_path / "run"))
    digest = resolved.model.pretrained_digest
    assert len(digest) == 16
    assert resolve_pretrained(resolved, str(tmp_path / "run")) == resolved
    assert read_pretrained(resolved).digest == digest
    safetensors.numpy.save_file({"w": np.ones(1)}, weights)
    for read in (lambda: resolve_pretrained(resolved, "run"), lambda: read_pretrained(resolved)):
        with pytest.raises(UserError, match=f"run is to start from {digest}; name that file"):
            read()


def test_a_digest_alone_is_refused():
    with pytest.raises(UserError, match="--pretrained_digest=ab without --pretrained"):
        resolve_pretrained(make_config(pretrained_digest="ab"), "run")


def test_a_missing_file_is_named_before_a_run_begins(tmp_path):
    with pytest.raises(UserError, match="nowhere.pth: No such file"):
        resolve_pretrained(make_config(pretrained="nowhere.pth"), str(tmp_path))


def test_a_run_that_has_begun_needs_its_file_no_more(model, weights, tmp_path):
    run = tmp_path / "run"
    config = resolve_pretrained(make_config(pretrained=str(weights)), str(run))
    begin(run, config, model)
    moved = weights.rename(tmp_path / "moved.safetensors")
    same = resolve_pretrained(make_config(pretrained=str(weights)), str(run))
    assert same == config
    elsewhere = resolve_pretrained(make_config(pretrained=str(moved)), str(run))
    assert differences(config, elsewhere) == []


def test_a_run_that_has_begun_takes_no_other_weights(model, weights, tmp_path):
    run = tmp_path / "run"
    config = resolve_pretrained(make_config(pretrained=str(weights)), str(run))
    begin(run, config, model)
    other = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"w": np.ones(1)}, other)
    digest = config.model.pretrained_digest
    for asked in (make_config(), make_config(pretrained=str(other))):
        changed = differences(config, resolve_pretrained(asked, str(run)))
        assert [line.split(" -> ")[0] for line in changed] == [f"pretrained_digest: {digest}"]
    asked = make_config(pretrained=str(weights), pretrained_digest="ab")
    with pytest.raises(UserError, match="start from ab"):
        resolve_pretrained(asked, str(run))


def test_the_backbone_starts_from_the_file_and_the_head_from_the_seed(model, weights, capsys):
    config = make_config(pretrained=str(weights))
    expected = read_arrays(backbone_model(model))
    tf.keras.utils.set_random_seed(1)
    plain = compile_model(make_config())
    tf.keras.utils.set_random_seed(1)
    compiled = compile_model(config, read_pretrained(config))
    for name, array in read_arrays(backbone_model(compiled)).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    left, right = (network.get_layer("head_fc").get_weights() for network in (plain, compiled))
    np.testing.assert_array_equal(left, right)
    assert "pre-trained weights: weights.safetensors (safetensors; resnet18 of width 4): 100 t" in (
        capsys.readouterr().out
    )


def test_weights_that_do_not_fit_are_refused(weights):
    config = make_config(pretrained=str(weights)).replace(backbone_width=8)
    with pytest.raises(UserError, match="holds resnet18 of width 4, expected resnet18 of width 8"):
        compile_model(config, read_pretrained(config))


def test_another_runs_backbone_is_read_from_its_folder(model, tmp_path):
    run = tmp_path / "earlier"
    begin(run, make_config(), model)
    config = resolve_pretrained(make_config(pretrained=str(run)), "new")
    found = read_pretrained(config)
    assert (found.kind, found.digest) == ("a run, step 1", config.model.pretrained_digest)
    compiled = compile_model(config, found)
    tf.keras.utils.set_random_seed(config.data.seed)
    left, right = (
        network.get_layer("head_fc").get_weights() for network in (build_daaf(config), compiled)
    )
    np.testing.assert_array_equal(left, right)
    expected = read_arrays(backbone_model(model))
    for name, array in read_arrays(backbone_model(compiled)).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_of_another_run_with_averages_these_are_taken(tmp_path):
    run, earlier = tmp_path / "earlier", make_config(ema_momentum=0.5)
    compiled = compile_model(earlier)
    compiled.optimizer.build(compiled.trainable_variables)
    for average in compiled.optimizer._model_variables_moving_average:
        average.assign(tf.ones_like(average))
    prepare_model_dir(str(run), earlier, "")
    Checkpoints(str(run), model=compiled, optimizer=compiled.optimizer).save(1)
    arrays = read_pretrained(make_config(pretrained=str(run))).tensors
    kernel = next(name for name in arrays if name.endswith("/kernel"))
    np.testing.assert_array_equal(arrays[kernel], 1.0)


def test_reading_another_run_leaves_the_policy_alone(model, tmp_path):
    begin(tmp_path / "earlier", make_config(), model)
    with dtype_policy("mixed_bfloat16"):
        read_pretrained(make_config(pretrained=str(tmp_path / "earlier")))
        assert tf.keras.mixed_precision.global_policy().name == "mixed_bfloat16"


def test_another_run_without_a_checkpoint_is_named(tmp_path):
    prepare_model_dir(str(tmp_path / "run"), make_config(), "")
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UserError, match="--pretrained=.*no checkpoint yet"):
        read_pretrained(make_config(pretrained=str(tmp_path / "run")))
