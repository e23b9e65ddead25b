"""The model directory: what is kept, what is refused, what a damaged checkpoint costs."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.training.checkpoints import Checkpoints, prepare_model_dir, read_config


def checkpoints(folder, value=0.0, keep=2):
    variable = tf.Variable([value, value])
    return Checkpoints(str(folder), keep, model=variable), variable


def test_prepare_writes_what_read_config_reads(tmp_path):
    config = Config().replace(seed=7)
    prepare_model_dir(str(tmp_path / "run"), config, "--seed=7\n")
    assert read_config(str(tmp_path / "run")) == config
    assert (tmp_path / "run/train.flags").read_text() == "--seed=7\n"


def test_another_config_is_refused_with_the_difference_once_there_is_a_checkpoint(tmp_path):
    old, new = Config(), Config().replace(learning_rate=0.5, log_every=3)
    prepare_model_dir(str(tmp_path), old, "")
    prepare_model_dir(str(tmp_path), old, "")
    checkpoints(tmp_path)[0].save(1)
    with pytest.raises(UserError, match=r"(?s)learning_rate: 0.0003 -> 0.5$"):
        prepare_model_dir(str(tmp_path), new, "")
    assert read_config(str(tmp_path)) == old
    prepare_model_dir(str(tmp_path), old.replace(log_every=3), "")


def test_a_run_without_a_checkpoint_takes_a_new_config(tmp_path):
    prepare_model_dir(str(tmp_path), Config(), "")
    prepare_model_dir(str(tmp_path), Config().replace(seed=9), "")
    assert read_config(str(tmp_path)).data.seed == 9


def test_foreign_folders_and_files_are_left_alone(tmp_path):
    (tmp_path / "holiday.txt").write_text("sun")
    with pytest.raises(UserError, match="not empty and holds no run"):
        prepare_model_dir(str(tmp_path), Config(), "")
    with pytest.raises(UserError, match="found a file"):
        prepare_model_dir(str(tmp_path / "holiday.txt"), Config(), "")
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.txt"]


def test_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config.json is not there"):
        read_config(str(tmp_path / "nothing"))


def test_restore_gives_the_newest_and_keeps_only_the_newest_few(tmp_path):
    saved, variable = checkpoints(tmp_path)
    for step in (1, 2, 3):
        variable.assign([step, step])
        saved.save(step)
    restored, variable = checkpoints(tmp_path)
    assert restored.restore() == (3, [])
    np.testing.assert_array_equal(variable, [3, 3])
    kept = {path.name.split(".")[0] for path in pathlib.Path(tmp_path, "checkpoints").glob("step*")}
    assert kept == {"step-2", "step-3"}


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert checkpoints(tmp_path)[0].restore() == (None, [])


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path):
    saved, variable = checkpoints(tmp_path)
    for step in (1, 2):
        variable.assign([step, step])
        saved.save(step)
    damaged = next(tmp_path.glob("checkpoints/step-2.data*"))
    damaged.write_bytes(damaged.read_bytes()[:3])
    restored, variable = checkpoints(tmp_path)
    step, problems = restored.restore()
    assert step == 1
    assert len(problems) == 1
    assert "step-2 could not be read" in problems[0]
    np.testing.assert_array_equal(variable, [1, 1])


def test_only_damaged_checkpoints_end_the_run(tmp_path):
    checkpoints(tmp_path)[0].save(1)
    next(tmp_path.glob("checkpoints/step-1.index")).write_bytes(b"junk")
    with pytest.raises(UserError, match="no checkpoint can be read"):
        checkpoints(tmp_path)[0].restore()
