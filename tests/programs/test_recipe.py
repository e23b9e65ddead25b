"""The Bag-of-Tricks recipe, shrunk, through all programs: what the flagfile says happens."""

import json

import numpy as np
import pytest
from run_program import run

# Everything that is only about size; what the recipe is made of stays.
SHRUNK = (
    "--backbone=resnet18",
    "--backbone_width=8",
    "--decoder_channels=4",
    "--image_height=64",
    "--image_width=32",
    "--padding=3",
    "--identities_per_batch=4",
    "--images_per_identity=2",
    "--warmup_steps=1",
    "--milestones=1,2",
    "--total_steps=3",
    "--log_every=1",
    "--pictures_every=0",
)


@pytest.fixture(scope="module")
def model_dir(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "model"
    run(
        "-m",
        "daaf_tf.train",
        "--flagfile=configs/market1501_bot_daaf.flags",
        *SHRUNK,
        f"--data_dir={records}",
        f"--model_dir={folder}",
    )
    return folder


def read_scalars(folder):
    """Return {name: {step: value}} of TensorBoard's scalars."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: {
            event.step: float(make_ndarray(event.tensor_proto)) for event in events.Tensors(name)
        }
        for name in events.Tags()["tensors"]
    }


def test_every_loss_of_the_recipe_is_logged_and_adds_up(model_dir):
    scalars = read_scalars(model_dir / "train")
    weights = {"triplet": 1, "identity": 1, "centre": 5e-4, "mask": 20, "keypoints": 65}
    for step in (1, 2, 3):
        total = sum(weight * scalars[f"loss/{name}"][step] for name, weight in weights.items())
        assert scalars["loss/total"][step] == pytest.approx(total, rel=1e-4)
    # Warm-up from a hundredth, then two falls to a tenth.
    rates = [scalars["learning_rate"][step] for step in (1, 2, 3)]
    np.testing.assert_allclose(rates, [3.5e-6, 3.5e-5, 3.5e-6], rtol=1e-5)


def test_it_is_evaluated_by_ten_crops(records, model_dir, tmp_path):
    figures = tmp_path / "figures.json"
    printed = run(
        "-m",
        "daaf_tf.evaluate",
        f"--model_dir={model_dir}",
        f"--data_dir={records}",
        "--tta=crops",
        f"--json_out={figures}",
    )
    assert "cosine, test-time augmentation: crops" in printed
    assert json.loads(figures.read_text())["step"] == 3
    assert 0 < json.loads(figures.read_text())["mAP"] <= 100


def test_its_saved_model_is_the_normalised_feature_alone(folders, model_dir, tmp_path):
    import tensorflow as tf

    from daaf_tf import serving

    run("-m", "daaf_tf.export", f"--model_dir={model_dir}", f"--output_dir={tmp_path}")
    path = next((folders / "Market-1501/query").glob("*.jpg"))
    assert serving.load(tmp_path).embed(path).shape == (1, 64)  # the channels of this backbone
    stored = tf.train.list_variables(str(tmp_path / "1/variables/variables"))
    count = sum(np.prod(shape, dtype=int) for name, shape in stored if "VARIABLE_VALUE" in name)
    facts = json.loads((tmp_path / "1/assets.extra/daaf_tf.json").read_text())
    assert count == facts["parameters"]
    # In the checkpoint there are centres and a classifier of 8 identities, and here there are not.
    checkpoint = tf.train.load_checkpoint(str(model_dir / "checkpoints"))
    trained = [
        shape
        for name, shape in checkpoint.get_variable_to_shape_map().items()
        if name.startswith("model/") and "OPTIMIZER_SLOT" not in name
    ]
    for shape in ([8, 64], [64, 8]):
        assert shape in trained
        assert shape not in [shape for _, shape in stored]
