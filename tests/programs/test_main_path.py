"""The main job as a user runs it: folders, records, training, evaluation, SavedModel.

One tiny synthetic set (of conftest.py) and one tiny run, made once; each test looks at one part, or
asks one program for something that must be refused.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from run_program import ROOT, run

STEPS = 4
SETTINGS = (
    "--backbone=resnet18",
    "--backbone_width=8",
    "--head_units=32",
    "--embedding_size=16",
    "--decoder_channels=4",
    "--image_height=64",
    "--image_width=32",
    "--identities_per_batch=4",
    "--images_per_identity=2",
    "--identity_weight=1",
    "--schedule=constant",
    "--padding=3",
    "--erasing_probability=0.5",
    f"--total_steps={STEPS}",
    "--log_every=2",
    "--checkpoint_every=2",
    "--pictures_every=2",
    "--deterministic",
)


def train(records, model_dir, *flags, code=0):
    return run(
        "-m",
        "daaf_tf.train",
        *SETTINGS,
        f"--data_dir={records}",
        f"--model_dir={model_dir}",
        *flags,
        code=code,
    )


@pytest.fixture(scope="module")
def model_dir(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "model"
    train(records, folder, "--eval_every=2")
    return folder


@pytest.fixture(scope="module")
def saved_model(model_dir):
    folder = model_dir.parent / "saved_model"
    run("-m", "daaf_tf.export", f"--model_dir={model_dir}", f"--output_dir={folder}")
    return folder


def read_weights(model_dir):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(model_dir / "checkpoints"))
    names = sorted(name for name in reader.get_variable_to_shape_map() if "/.ATTR" in name)
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def assert_same_weights(left, right):
    left, right = read_weights(left), read_weights(right)
    assert left.keys() == right.keys()
    assert len(left) > 100
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_a_run_leaves_config_flags_checkpoints_logs_and_figures(model_dir):
    lines = [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4]
    assert all(0 <= line["mAP"] <= 100 for line in lines)
    assert json.loads((model_dir / "config.json").read_text())["model"]["num_identities"] == 8
    assert list((model_dir / "train").glob("events*"))
    assert list((model_dir / "eval").glob("events*"))


def test_tensorboard_has_every_loss_and_the_picture(model_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(model_dir / "train"))
    events.Reload()
    assert {
        "loss/total",
        "loss/triplet",
        "loss/mask",
        "loss/keypoints",
        "loss/identity",
        "learning_rate",
        "active_triplets",
        "embedding_norm",
        "images_per_second",
        "attention",
    } <= set(events.Tags()["tensors"])


def test_the_saved_flagfile_repeats_the_run_bit_for_bit(records, model_dir, tmp_path):
    run(
        "-m",
        "daaf_tf.train",
        f"--flagfile={model_dir / 'train.flags'}",
        "--eval_every=0",
        f"--model_dir={tmp_path / 'again'}",
    )
    assert_same_weights(model_dir, tmp_path / "again")


def test_an_interrupted_run_goes_on_and_ends_with_the_same_weights(records, model_dir, tmp_path):
    folder = tmp_path / "interrupted"
    command = [sys.executable, "-m", "daaf_tf.train", *SETTINGS, f"--data_dir={records}"]
    command += [f"--model_dir={folder}", "--checkpoint_every=1", "--pictures_every=0"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/step-1.index")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode in (0, 130), printed  # 0: it was in its last step already
    assert "Traceback" not in printed
    train(records, folder)
    assert_same_weights(model_dir, folder)
    assert "is trained: 4 of 4 steps" in train(records, folder)


def test_a_run_starts_from_pretrained_weights_and_needs_them_only_once(
    records, model_dir, tmp_path
):
    earlier, folder = tmp_path / "earlier", tmp_path / "run"
    shutil.copytree(model_dir, earlier)
    flags = [f"--pretrained={earlier}", "--pictures_every=0", "--num_cpu_replicas=2"]
    printed = train(records, folder, *flags, "--total_steps=1")
    assert "earlier (a run, step 4; resnet18 of width 8): 100 tensors loaded" in printed
    config = json.loads((folder / "config.json").read_text())["model"]
    assert config["pretrained"] == str(earlier)
    assert len(config["pretrained_digest"]) == 16
    shutil.rmtree(earlier)
    assert "tensors loaded" not in train(records, folder, *flags, "--total_steps=2")


def test_two_replicas_train_on_the_same_batches(records, tmp_path):
    printed = train(records, tmp_path / "two", "--num_cpu_replicas=2", "--pictures_every=0")
    assert "training on 2 replica(s)" in printed


def test_evaluate_prints_both_conventions_and_writes_json(records, model_dir, tmp_path):
    printed = run(
        "-m",
        "daaf_tf.evaluate",
        f"--model_dir={model_dir}",
        f"--data_dir={records}",
        f"--json_out={tmp_path / 'figures.json'}",
    )
    figures = json.loads((tmp_path / "figures.json").read_text())
    last = json.loads((model_dir / "metrics.jsonl").read_text().splitlines()[-1])
    # The same weights, in a new process, give the figures that training logged.
    assert {name: figures[name] for name in last} == last
    assert {"mAP", "mAP_trapezoid", "mINP", "rank1"} < set(last)
    assert "rectangle  trapezoid" in printed
    assert f"{figures['mAP']:.2f}  {figures['mAP_trapezoid']:>9.2f}" in printed


def test_the_saved_model_gives_evaluations_embeddings_in_a_process_with_only_tensorflow(
    folders, records, model_dir, saved_model, tmp_path
):
    from daaf_tf.config import from_json
    from daaf_tf.training.evaluation import compute_features, load_embedding_model

    config = from_json((model_dir / "config.json").read_text())
    model, _ = load_embedding_model(config, str(model_dir))
    expected = compute_features(model, config, "query", progress=False)
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "assert not any(name.startswith('daaf_tf') for name in sys.modules)\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "encoded = tf.constant([tf.io.read_file(path).numpy() for path in sys.argv[3:]])\n"
        "np.save(sys.argv[2], model.signatures['encoded'](encoded)['embedding'])\n"
    )
    paths = [str(folders / "Market-1501/query" / name) for name in expected.filenames]
    found = tmp_path / "embeddings.npy"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    subprocess.run(
        [sys.executable, "-c", script, str(saved_model / "1"), str(found), *paths],
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    np.testing.assert_allclose(np.load(found), expected.features, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning_rat=1"], "Unknown command line flag 'learning_rat'"),
        (["--backbone=resnet99"], "should be one of"),
        (["--learning_rate=-1"], "--learning_rate=-1.0: expected 0 or more"),
        (["--margin=wide"], "--margin=wide: expected 'soft' or a number"),
        (["--identities_per_batch=9"], "holds only 8 training identities"),
        (["--num_cpu_replicas=3"], "cannot be shared by 3 replicas"),
        (["--num_identities=5"], "have 8"),
        (["--data_dir=nowhere"], "nowhere"),
        (["--seed=2"], "seed: 1 -> 2"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_a_wrong_flag_is_named_and_nothing_is_changed(records, model_dir, flags, message):
    before = sorted(path for path in model_dir.rglob("*"))
    printed = train(records, model_dir, *flags, code=1)
    assert message in printed
    assert sorted(path for path in model_dir.rglob("*")) == before


def test_a_corrupt_record_is_named(records, tmp_path):
    copy = tmp_path / "records"
    shutil.copytree(records, copy)
    shard = next(copy.glob("train-*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    printed = train(copy, tmp_path / "model", code=1)
    assert shard.name in printed


@pytest.mark.parametrize("program", ["evaluate", "export"])
def test_a_folder_without_a_run_is_named(tmp_path, program):
    flags = [f"--model_dir={tmp_path}"]
    flags += [f"--output_dir={tmp_path / 'out'}"] if program == "export" else []
    assert "config.json is not there" in run("-m", f"daaf_tf.{program}", *flags, code=1)


def test_a_keras_cv_backbone_is_trained_and_exported_without_its_file(records, tmp_path):
    file, folder = tmp_path / "backbone.json", tmp_path / "model"
    arguments = {
        "stackwise_filters": [4, 3],
        "stackwise_blocks": [1, 1],
        "stackwise_strides": [1, 2],
        "include_rescaling": False,
    }
    file.write_text(json.dumps({"class": "ResNetBackbone", "arguments": arguments}))
    flags = ["--backbone=keras_cv", f"--backbone_config={file}", "--total_steps=1"]
    train(records, folder, *flags, "--pictures_every=0")
    file.unlink()
    assert json.loads((folder / "config.json").read_text())["model"]["feature_map"] == [8, 4]
    again = ["--backbone=keras_cv", f"--flagfile={folder / 'train.flags'}"]
    assert "is trained: 1 of 1 steps" in train(records, folder, *again)
    saved = tmp_path / "saved"
    assert "step 1" in run("-m", "daaf_tf.export", f"--model_dir={folder}", f"--output_dir={saved}")
    assert (saved / "1" / "saved_model.pb").is_file()
