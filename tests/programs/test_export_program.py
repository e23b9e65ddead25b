"""Export as a user runs it: what is written is checked on records, or it is not written."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest
from run_program import run

from daaf_tf import serving
from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.serving import parity
from daaf_tf.serving.calibration import read_calibration
from daaf_tf.training.checkpoints import Checkpoints, prepare_model_dir
from daaf_tf.training.evaluation import compute_features
from daaf_tf.training.metrics_file import append_figures

CONFIG = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=4,
    head_units=16,
    embedding_size=8,
    decoder_channels=4,
    total_steps=2,
)
METRICS = {"mAP": 12.5, "rank1": 20.0}


@pytest.fixture(scope="module")
def model_dir(records, tmp_path_factory):
    """A run that has not learned anything, which ranking does not mind."""
    folder = str(tmp_path_factory.mktemp("export") / "model")
    config = CONFIG.replace(data_dir=str(records))
    prepare_model_dir(folder, config, "")
    Checkpoints(folder, model=build_daaf(config)).save(2)
    append_figures(folder, 2, METRICS)
    return pathlib.Path(folder)


def export(model_dir, output_dir, *flags, code=0):
    return run(
        "-m",
        "daaf_tf.export",
        f"--model_dir={model_dir}",
        f"--output_dir={output_dir}",
        *flags,
        code=code,
    )


def test_what_is_written_is_checked_on_all_records(model_dir, records, tmp_path):
    flags = ("--parity_images=0", "--normalize", "--tta=flip", "--attention", "--license=mine")
    printed = export(model_dir, tmp_path / "s", *flags)
    assert "checked on 8 queries and 32 gallery images: mAP" in printed
    embedder = serving.load(tmp_path / "s")
    found = embedder.facts["parity"]
    assert found["queries"] + found["gallery"] == found["images_in_records"] == 40
    assert 0 <= found["largest_difference"] < 1e-4
    assert found["mAP_trained"] == found["mAP_written"]
    names = ("serving_default", "encoded", "attention", "attention_encoded")
    assert found["warmup_requests"] == dict.fromkeys(names, 2)
    assert embedder.facts["metrics"] == METRICS
    card = (embedder.path / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert "mine" in card
    assert "a sample of the records" not in card
    assert "market1501: train 40 images of 8 persons" in card
    assert str(records) not in card + json.dumps(embedder.facts)


def test_unchecked_only_if_asked_and_the_card_says_so(model_dir, tmp_path):
    export(model_dir, tmp_path / "s", "--data_dir=nowhere", "--noparity")
    card = (tmp_path / "s" / "1" / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert "the written model was not compared" in card


def test_records_without_queries_say_what_to_do(records, tmp_path):
    advice = "name their folder by --data_dir, or write it unchecked by --noparity"
    with pytest.raises(UserError, match=f"nowhere: no such folder.*{advice}"):
        parity.choose_positions("nowhere", 0)
    for file in [*records.glob("gallery*"), records / "manifest.json"]:
        shutil.copy(file, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["splits"]["query"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"query.*{advice}"):
        parity.choose_positions(str(tmp_path), 0)


def test_a_sample_holds_whole_persons_and_others(records):
    chosen = parity.choose_positions(str(records), 20)
    sizes = {split: len(positions) for split, positions in chosen.items()}
    assert sum(sizes.values()) == 20
    ids = {
        split: parity.read_person_ids(records, split)[positions]
        for split, positions in chosen.items()
    }
    assert len(set(ids["gallery"]) - set(ids["query"])) > 0
    everybody = parity.read_person_ids(records, "query")
    for person in set(ids["query"]):
        assert np.sum(ids["query"] == person) == np.sum(everybody == person)
    again = parity.choose_positions(str(records), 20)
    assert all(np.array_equal(again[split], chosen[split]) for split in chosen)
    whole = parity.choose_positions(str(records), 0)
    assert {split: len(positions) for split, positions in whole.items()} == {
        "query": 8,
        "gallery": 32,
    }


def test_another_network_than_was_written_leaves_nothing(records, tmp_path):
    config = CONFIG.replace(data_dir=str(records))
    model = embedding_model(build_daaf(config))
    positions = parity.choose_positions(str(records), 16)
    trained = {
        split: compute_features(model, config, split, positions=chosen, progress=False)
        for split, chosen in positions.items()
    }
    assert sum(len(each.filenames) for each in trained.values()) == 16
    model.layers[-1].bias.assign_add(np.full(8, 1e-2, np.float32))

    def verify(folder):
        written = parity.embed_in_fresh_process(folder, config, positions)
        how = {"metric": "euclidean", "normalize": False, "precision": "float32"}
        return parity.compare(trained, written, **how)

    with pytest.raises(UserError, match="embeddings differ from the trained network's"):
        serving.write_saved_model(model, config, tmp_path / "s", verify=verify)
    assert not list((tmp_path / "s").iterdir())


def test_a_model_directory_without_a_checkpoint(tmp_path):
    prepare_model_dir(str(tmp_path / "model"), CONFIG, "")
    printed = export(tmp_path / "model", tmp_path / "s", "--parity_images=5", code=1)
    assert "there is no checkpoint yet; train first" in printed
    assert not (tmp_path / "s").exists()


def test_a_wrong_flag_is_named(model_dir, tmp_path):
    assert "parity_images" in export(model_dir, tmp_path / "s", "--parity_images=-1", code=1)


def test_calibration_images_are_spread_over_the_records(records):
    config = CONFIG.replace(data_dir=str(records))
    images = read_calibration(config, 5)
    assert len(images) == 5
    assert {(image.shape, str(image.dtype)) for image in images} == {((64, 32, 3), "float32")}
    assert not np.array_equal(images[0], images[-1])
    assert len(read_calibration(config, 1000)) == 40
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_calibration(CONFIG.replace(data_dir="nowhere"), 5)
