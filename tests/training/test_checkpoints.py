"""The model directory: what is kept, what is refused, what a damaged checkpoint costs."""

import pathlib
import resource

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


def test_a_start_that_was_killed_can_be_repeated(tmp_path):
    (tmp_path / ".config.json.123.tmp").write_text("{")
    prepare_model_dir(str(tmp_path), Config(), "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "train.flags"]
    (tmp_path / "train.flags").unlink()
    prepare_model_dir(str(tmp_path), Config(), "--seed=1\n")
    assert (tmp_path / "train.flags").read_text() == "--seed=1\n"


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


def cut_data(folder):
    damaged = next(folder.glob("step-3.data*"))
    damaged.write_bytes(damaged.read_bytes()[:3])


def lose_index(folder):
    (folder / "step-3.index").unlink()


def lose_data(folder):
    next(folder.glob("step-3.data*")).unlink()


def empty_index(folder):
    (folder / "step-3.index").write_bytes(b"")


def scramble_index(folder):
    (folder / "step-3.index").write_bytes(b"\x00junk" * 50)


@pytest.mark.parametrize(
    "damage",
    [cut_data, lose_index, lose_data, empty_index, scramble_index],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("state", ["whole", "junk", "gone"])
def test_whatever_befalls_the_newest_the_one_before_is_restored(tmp_path, damage, state):
    saved, variable = checkpoints(tmp_path)
    for step in (2, 3):
        variable.assign([step, step])
        saved.save(step)
    folder = tmp_path / "checkpoints"
    damage(folder)
    if state == "junk":
        (folder / "checkpoint").write_bytes(b"\xff\x00 no list")
    elif state == "gone":
        (folder / "checkpoint").unlink()
    restored, variable = checkpoints(tmp_path)
    step, problems = restored.restore()
    assert (step, len(problems)) == (2, 1)
    assert "step-3 " in problems[0]
    np.testing.assert_array_equal(variable, [2, 2])
    # The run comes to the step once more, or passes it; either way the damaged one is gone.
    variable.assign([4, 4])
    restored.save(4)
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint",
        *(f"step-{n}.{part}" for n in (2, 4) for part in ("index", "data-00000-of-00001")),
    }
    assert checkpoints(tmp_path)[0].restore() == (4, [])


def test_a_damaged_checkpoint_does_not_push_a_whole_one_out(tmp_path):
    saved, variable = checkpoints(tmp_path)
    for step in (1, 5):
        saved.save(step)
    next(tmp_path.glob("checkpoints/step-5.data*")).write_bytes(b"")
    restored, variable = checkpoints(tmp_path)
    assert restored.restore()[0] == 1
    restored.save(3)
    assert checkpoints(tmp_path)[0].restore() == (3, [])
    next(tmp_path.glob("checkpoints/step-3.data*")).write_bytes(b"")
    assert checkpoints(tmp_path)[0].restore()[0] == 1


def test_tensorflows_own_tools_find_the_newest(tmp_path):
    saved, _ = checkpoints(tmp_path)
    for step in (1, 2, 10):
        saved.save(step)
    folder = str(tmp_path / "checkpoints")
    assert tf.train.latest_checkpoint(folder) == folder + "/step-10"
    state = tf.train.get_checkpoint_state(folder)
    assert [path.rsplit("/")[-1] for path in state.all_model_checkpoint_paths] == [
        "step-2",
        "step-10",
    ]


def test_what_a_killed_write_leaves_is_named_and_removed_by_the_next(tmp_path):
    saved, _ = checkpoints(tmp_path)
    saved.save(1)
    folder = tmp_path / "checkpoints"
    (folder / "step-2_temp").mkdir()
    (folder / "step-2_temp/part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    (folder / "step-2.data-00000-of-00001").write_bytes(b"whole, but without an index")
    restored, _ = checkpoints(tmp_path)
    step, problems = restored.restore()
    assert (step, len(problems)) == (1, 1)
    assert "step-2 is unfinished" in problems[0]
    restored.save(3)
    assert not list(folder.glob("step-2*"))


def test_a_full_disk_leaves_the_checkpoints_before_and_nothing_of_its_own(tmp_path):
    large = tf.Variable(tf.ones([300_000]))
    saved = Checkpoints(str(tmp_path), 2, model=large)
    saved.save(1)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"checkpoint 2 could not be written .*make room"):
            saved.save(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before
    assert Checkpoints(str(tmp_path), 2, model=tf.Variable(tf.zeros([300_000]))).restore() == (
        1,
        [],
    )
    saved.save(2)
    assert saved.restore() == (2, [])


def test_a_worker_that_is_not_the_chief_leaves_nothing(tmp_path):
    variable = tf.Variable([1.0])
    Checkpoints(str(tmp_path / "run"), 2, is_chief=False, model=variable).save(1)
    assert not list(tmp_path.iterdir())


def test_only_damaged_checkpoints_end_the_run(tmp_path):
    checkpoints(tmp_path)[0].save(1)
    next(tmp_path.glob("checkpoints/step-1.index")).write_bytes(b"junk")
    with pytest.raises(UserError, match="no checkpoint can be read"):
        checkpoints(tmp_path)[0].restore()
