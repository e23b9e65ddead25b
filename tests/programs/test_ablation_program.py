"""tools/ablation.py as its user meets it: interrupted, gone on with, asked again, refused."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETTINGS = (
    "--backbone=resnet18",
    "--backbone_width=8",
    "--head_units=16",
    "--embedding_size=8",
    "--decoder_channels=2",
    "--decoder_deconvs=3",
    "--image_height=32",
    "--image_width=32",
    "--identities_per_batch=3",
    "--images_per_identity=2",
    "--identity_weight=1",
    "--schedule=constant",
    "--total_steps=3",
    "--log_every=1",
    "--checkpoint_every=1",
    "--pictures_every=0",
    "--held_out_identities=2",
    "--seeds=4",
    "--variants=baseline,both",
)


def command(records, output, *flags):
    places = [f"--data_dir={records}", f"--output_dir={output}"]
    return [sys.executable, str(ROOT / "tools" / "ablation.py"), *SETTINGS, *places, *flags]


def run(records, output, *flags, code=0):
    done = subprocess.run(
        command(records, output, *flags), capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def interrupt(records, output):
    """Start the ablation, and press Ctrl-C when its first run has a checkpoint."""
    process = subprocess.Popen(
        command(records, output),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("runs/seed4-baseline/checkpoints/step-1.index")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "the same command goes on from here (seed4-baseline)" in printed
    assert "Traceback" not in printed
    return [path.name for path in (output / "runs").iterdir()]


@pytest.fixture(scope="module")
def finished(records, tmp_path_factory):
    """Interrupt an ablation in its first run, then let it finish."""
    output = tmp_path_factory.mktemp("made") / "A"
    assert interrupt(records, output) == ["seed4-baseline"]
    return output, run(records, output)


def read_tags(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["tensors"])


def test_an_interrupted_ablation_goes_on_to_a_table(finished):
    output, done = finished
    assert "run 2 of 2: seed4-both" in done.stdout
    assert (output / "table.md").read_text("utf-8") in done.stdout
    found = json.loads((output / "results.json").read_text("utf-8"))["spreads"]
    assert {name: sorted(figures) for name, figures in found.items()} == {
        "baseline": ["mAP", "rank1"],
        "both": ["joint_accuracy", "mAP", "mask_iou", "rank1"],
    }
    assert (output / "plot.png").stat().st_size > 1000
    assert {"retrieval/mAP", "attention/mask_iou", "attention/joint_accuracy"} <= read_tags(
        output / "runs/seed4-both/eval"
    )
    for variant in found:
        config = json.loads((output / f"runs/seed4-{variant}/config.json").read_text())
        assert config["model"]["hab"] == config["model"]["pab"] == (variant == "both")
        assert config["data"]["seed"] == 4
        assert config["model"]["num_identities"] == 6  # of eight


def test_what_is_done_is_not_done_again(records, finished):
    output, first = finished
    before = {path: path.stat().st_mtime_ns for path in output.glob("runs/*/*")}
    again = run(records, output)
    assert {path: path.stat().st_mtime_ns for path in output.glob("runs/*/*")} == before
    assert "run " not in again.stdout
    assert again.stdout.strip() == (output / "table.md").read_text("utf-8").strip()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--held_out_identities=0"], "--held_out_identities=0: masks and joints are measured"),
        (["--held_out_identities=7"], "only 1 training identities beside --held_out_identities=7"),
        (["--seeds=1,1"], "--seeds=1,1: expected different whole numbers"),
        (["--variants=both,neither"], "--variants=both,neither: expected some of baseline,hab"),
        (["--learning_rate=1"], "learning_rate: 0.0003 -> 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_changed(records, finished, flags, message):
    output, _ = finished
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert message in run(records, output, *flags, code=1).stderr
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
