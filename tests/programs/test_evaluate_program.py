"""`python -m daaf_tf.evaluate` as a user runs it, from every source of features."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from run_program import ROOT, run
from tiny_run import TINY

from daaf_tf.data.records import read_manifest

FIGURES = ("mAP", "mAP_trapezoid", "mINP", "rank1", "rank5", "rank10", "rank20")
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.argv = ["evaluate", *sys.argv[1:]]
try:
    runpy.run_module("daaf_tf.evaluate", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
loaded = [name for name in sys.modules if name.split(".")[0] in {
    "tensorflow", "keras", "tf_keras", "keras_cv", "h5py", "jax", "torch"}]
print("loaded:", loaded)
own = [name for name in sys.modules if name.startswith(("daaf_tf.model", "daaf_tf.training"))]
print("own:", own)
"""


@pytest.fixture(scope="module")
def model_dir(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "model"
    flags = [*TINY, "--nopab", "--total_steps=1", "--held_out_identities=2", "--eval_metric=cosine"]
    flags += [f"--data_dir={records}", f"--model_dir={folder}"]
    run("-m", "daaf_tf.train", *flags)
    return folder


@pytest.fixture(scope="module")
def market(folders, tmp_path_factory):
    """The set with more images of the queries' persons, and without images for training."""
    root = tmp_path_factory.mktemp("market")
    shutil.copytree(folders / "Market-1501", root / "Market-1501")
    home = root / "Market-1501"
    shutil.copytree(home / "query", home / "gt_bbox")
    shutil.rmtree(home / "bounding_box_train")
    return root


@pytest.fixture(scope="module")
def evaluated(records, market, model_dir):
    """What was printed, figures and files of features: of the records, and of their folders."""
    files = [model_dir.parent / name for name in ("records.npz", "folders.npz", "figures.json")]
    printed = run(
        "-m",
        "daaf_tf.evaluate",
        f"--model_dir={model_dir}",
        f"--data_dir={records}",
        "--dataset=market1501",
        f"--data_root={market}",
        f"--features_out={files[0]}",
        f"--features_out={files[1]}",
        f"--json_out={files[2]}",
        f"--report={model_dir.parent / 'report'}",
        "--tta=flip",
    )
    return printed, json.loads(files[2].read_text())["data_sets"], files[:2]


def score(*flags, code=0):
    """Score features; return what was printed."""
    return run("-m", "daaf_tf.evaluate", *flags, code=code)


def test_folders_and_their_records_give_the_same(evaluated):
    printed, (of_records, of_folders), (records_file, folders_file) = evaluated
    for name in (*FIGURES, "queries", "queries_without_match", "metric", "tta", "conventions"):
        assert of_records[name] == of_folders[name]
    left, right = (np.load(path, allow_pickle=False) for path in (records_file, folders_file))
    assert sorted(left) == sorted(right)
    for name in left:
        if name != "data":
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    assert str(left["metric"]) == "cosine"  # the run's own
    assert str(left["tta"]) == "flip"
    assert str(left["model"]).endswith("model, step 1")
    # Only the run's own records have persons that were held out from training.
    assert "mask_iou" in of_records
    assert "mask_iou" not in of_folders
    assert printed.count("held-out identities: mask iou") == 1


def test_each_set_has_a_report_with_what_the_branch_sees(evaluated, records, market, model_dir):
    printed, _, _ = evaluated
    pages = sorted((model_dir.parent / "report").glob("*/index.html"))
    assert [f"report: {page}" for page in pages] == [
        line for line in printed.splitlines() if line.startswith("report: ")
    ]
    of_records, of_folders = (page.read_text(encoding="utf-8") for page in pages)
    people = read_manifest(records)["splits"]["train"]["person_ids"]
    for text, allowed in (
        (of_records, {f"{person:04d}" for person in people[-2:]}),  # who was held out
        (of_folders, {path.name[:4] for path in market.glob("Market-1501/query/*.jpg")}),
    ):
        _, samples = text.split('id="attention"')
        captions = re.findall(r'<div class="faint">(\d{4})_c\S+jpg</div>', samples)
        assert len(captions) == 8
        assert set(captions) <= allowed
        assert "predicted mask" in samples
        assert "predicted keypoints" not in samples
    for page in pages:
        assert (page.parent / "tensorboard/sprite.jpg").exists()


def test_the_table_has_a_row_for_each_set_and_names_the_conventions(evaluated, records, market):
    printed, entries, _ = evaluated
    assert "cosine, test-time augmentation: flip, single query, not re-ranked" in printed
    assert "rectangle  trapezoid" in printed
    for entry, name in zip(entries, (records, f"market1501 in {market}")):
        assert entry["data"] == str(name)
        row = next(line for line in printed.splitlines() if line.startswith(f"{name}  "))
        assert f" {entry['mAP']:.2f} " in row
        assert row.split()[-2:] == ["8", str(entry["queries_without_match"])]


def test_features_are_scored_without_tensorflow(evaluated, tmp_path):
    _, (expected, _), (path, _) = evaluated
    found = tmp_path / "figures.json"
    printed = run("-c", WITHOUT_TENSORFLOW, f"--features={path}", f"--json_out={found}")
    assert "loaded: []" in printed
    assert "own: []" in printed
    entry = json.loads(found.read_text())
    for name in (*FIGURES, "queries", "metric", "tta", "model", "data", "protocol"):
        assert entry[name] == expected[name]


def test_reranking_and_the_other_protocols(evaluated, tmp_path):
    from daaf_tf.retrieval import evaluate_distances, read_features, rerank

    _, _, (path, _) = evaluated
    found = tmp_path / "figures.json"
    flags = ["--rerank", "--k1=5", "--k2=2", "--lambda_value=0.4", "--eval_metric=euclidean"]
    printed = score(f"--features={path}", *flags, "--block_size=3", f"--json_out={found}")
    assert "euclidean, test-time augmentation: flip, single query, re-ranked (k1=5" in printed
    splits = read_features(path).splits
    query, gallery = splits["query"], splits["gallery"]
    expected = evaluate_distances(
        rerank(query.features, gallery.features, k1=5, k2=2, lambda_value=0.4),
        query_ids=query.person_ids,
        gallery_ids=gallery.person_ids,
        query_cameras=query.camera_ids,
        gallery_cameras=gallery.camera_ids,
    )
    assert json.loads(found.read_text()).items() >= expected.summarize().items()
    printed = score(f"--features={path}", "--query_expansion=2", "--single_shot=4")
    assert "expanded by 2, CMC of single gallery shots, 4 draws" in printed


def test_an_exported_model_over_folders_with_a_bad_image(model_dir, market, tmp_path):
    saved, root, figures = tmp_path / "saved", tmp_path / "market", tmp_path / "figures.json"
    shutil.copytree(market, root)
    bad = sorted((root / "Market-1501/bounding_box_test").glob("0*.jpg"))[0]
    bad.write_bytes(bad.read_bytes()[:-20])
    run("-m", "daaf_tf.export", f"--model_dir={model_dir}", f"--output_dir={saved}")
    flags = [f"--saved_model={saved}", "--dataset=market1501", f"--data_root={root}"]
    printed = score(*flags, "--tta=flip", "--multi_query", f"--json_out={figures}")
    assert "images that could not be used: 1 (--strict stops at the first)" in printed
    assert f"bounding_box_test/{bad.name}: " in printed
    assert "cosine, test-time augmentation: flip, multiple query" in printed
    entry = json.loads(figures.read_text())
    assert entry["skipped_images"] == 1
    assert "step" not in entry
    printed = score(*flags, "--strict", code=1)
    assert f"{bad.name}: " in printed
    assert "--strict stops at the first problem" in printed


def test_ctrl_c_ends_cleanly(evaluated, market, model_dir, tmp_path):
    out = tmp_path / "features.npz"
    command = [sys.executable, "-m", "daaf_tf.evaluate", f"--model_dir={model_dir}"]
    command += ["--dataset=market1501", f"--data_root={market}", f"--features_out={out}"]
    # Views of one image at a time, so that there is something to interrupt.
    command += ["--tta=crops", "--eval_batch_size=1"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    printed, deadline = b"", time.monotonic() + 120
    try:
        while b"embed query" not in printed and time.monotonic() < deadline:
            printed += os.read(process.stdout.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        printed += process.communicate(timeout=120)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, printed.decode()
    assert b"interrupted" in printed
    assert b"Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "expected one of --model_dir, --saved_model, --features; received none"),
        (["--model_dir=M", "--features=F"], "received --model_dir, --features"),
        (["--features=nowhere.npz"], "nowhere.npz: No such file"),
        (["--features=F", "--data_dir=R"], "--data_dir does not go with --features"),
        (["--model_dir=M", "--image_root=D"], "--image_root does not go with --model_dir"),
        (["--features=F", "--k1=3"], "--k1 without --rerank"),
        (["--features=F", "--rerank", "--k1=0"], "--k1=0: expected 1 or more"),
        (["--saved_model=S"], "--saved_model: give --data_dir, or --dataset and --data_root"),
        (["--model_dir=M", "--data_root=D"], "--data_root without --dataset"),
        (["--saved_model=S", "--dataset=msmt17"], "1 --dataset and 0 --data_root"),
        (["--saved_model=S", "--dataset=csv", "--data_root=D"], "0 --csv_file"),
        (["--saved_model=S", "--data_dir=R", "--tta=crops"], "R: no such folder"),
        (["--features=F", "--json_out=no/F.json"], "no/F.json: there is no such folder"),
    ],
)
def test_flags_that_do_not_go_together_are_named(flags, message):
    assert message in score(*flags, code=1)


def test_a_file_that_was_cut_off_is_named(evaluated, tmp_path):
    _, _, (path, _) = evaluated
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(pathlib.Path(path).read_bytes()[:-50])
    printed = score(f"--features={damaged}", code=1)
    assert f"error: {damaged}: damaged or cut off" in printed


def test_records_without_a_multiple_query(records, model_dir):
    printed = score(f"--model_dir={model_dir}", f"--data_dir={records}", "--multi_query", code=1)
    assert "no split 'multi_query'" in printed


def test_one_file_of_features_for_each_set(records, model_dir, tmp_path):
    flags = [f"--model_dir={model_dir}", f"--features_out={tmp_path / 'F.npz'}"]
    printed = score(*flags, f"--data_dir={records}", f"--data_dir={records}", code=1)
    assert "1 --features_out for 2 data sets: give one for each" in printed
    assert list(tmp_path.iterdir()) == []
