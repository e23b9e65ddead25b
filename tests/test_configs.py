"""Every flagfile in configs/ is a valid config and says at its head what to expect of it."""

import functools
import pathlib
import re
import subprocess
import sys

import pytest

from daaf_tf.config import Config, flat, from_json, settings

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGFILES = sorted((ROOT / "configs").glob("*.flags"))
SETS = ("market1501", "dukemtmc", "cuhk03_labeled", "cuhk03_detected", "msmt17", "occluded_duke")
# One that includes the one for Market-1501, and changes what the other set's size asks for.
THIN = [
    ROOT / f"configs/{name}_{recipe}_daaf.flags"
    for name in SETS[1:]
    for recipe in ("bot", "trinet")
]
HEADINGS = ("Paper:", "Expected result", "Hardware and hours:", "Command:")
PARSE = """
from daaf_tf import flags
from daaf_tf.config import to_json

flags.define_settings()
flags.run(lambda: print(to_json(flags.config_from_flags()), end=""))
"""

each_flagfile = pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)


def split(path):
    """Return the comment lines at the head of a flagfile and all lines after them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    length = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:length], lines[length:]


@functools.cache
def parse(path, *flags):
    """Return the config of a flagfile, flags given after it included."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE, f"--flagfile={path}", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return from_json(done.stdout, str(path))


def changes(config, other):
    """Return {name: value} of the settings in which a config differs from another one."""
    before = flat(other)
    return {name: value for name, value in flat(config).items() if value != before[name]}


def test_the_recipes_are_there():
    assert {path.name for path in FLAGFILES} >= {
        "market1501_trinet_baseline.flags",
        "market1501_trinet_daaf.flags",
        "market1501_bot_baseline.flags",
        "market1501_bot_daaf.flags",
        "quickstart.flags",
        *(path.name for path in THIN),
    }


@each_flagfile
def test_it_parses(path):
    assert isinstance(parse(path), Config)


def test_trinet_is_as_published():
    config = parse(ROOT / "configs/market1501_trinet_daaf.flags")
    published = {
        "backbone": "resnet50",
        "last_stride": 2,
        "head": "trinet",
        "head_units": 1024,
        "embedding_size": 128,
        "image_height": 256,
        "image_width": 128,
        "resize_height": 288,
        "resize_width": 144,
        "identities_per_batch": 18,
        "images_per_identity": 4,
        "flip_probability": 0.5,
        "margin": "soft",
        "metric": "euclidean",
        "identity_weight": 0.0,
        "optimizer": "adam",
        "learning_rate": 3e-4,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "schedule": "exponential",
        "decay_start_step": 15000,
        "decay_steps": 10000,
        "decay_factor": 0.001,
        "total_steps": 25000,
        "eval_metric": "euclidean",
    }
    assert {name: flat(config)[name] for name in published} == published


def test_bag_of_tricks_is_as_published():
    config = parse(ROOT / "configs/market1501_bot_daaf.flags")
    published = {
        "backbone": "resnet50",
        "last_stride": 1,
        "head": "bnneck",
        "image_height": 256,
        "image_width": 128,
        "resize_height": 0,
        "resize_width": 0,
        "padding": 10,
        "flip_probability": 0.5,
        "erasing_probability": 0.5,
        "erasing_min_area": 0.02,
        "erasing_max_area": 0.4,
        "erasing_min_aspect": 0.3,
        "identities_per_batch": 16,
        "images_per_identity": 4,
        "triplet_weight": 1.0,
        "margin": "0.3",
        "metric": "euclidean",
        "identity_weight": 1.0,
        "label_smoothing": 0.1,
        "centre_weight": 5e-4,
        "centre_learning_rate": 0.5,
        "mask_weight": 20.0,
        "keypoints_weight": 65.0,
        "optimizer": "adam",
        "learning_rate": 3.5e-4,
        "weight_decay": 5e-4,
        "warmup_factor": 0.01,
        "schedule": "multistep",
        "decay_factor": 0.1,
        "eval_metric": "cosine",
    }
    assert {name: flat(config)[name] for name in published} == published


@pytest.mark.parametrize("name", SETS)
def test_bag_of_tricks_counts_epochs(name):
    path = ROOT / f"configs/{name}_bot_daaf.flags"
    config = parse(path)
    epoch = config.optimizer.warmup_steps // 10
    assert config.optimizer.warmup_steps == 10 * epoch
    assert config.optimizer.milestones == (40 * epoch, 70 * epoch)
    assert config.train.total_steps == 480 * epoch
    head = "\n".join(split(path)[0])
    assert f"# An epoch is {epoch} steps:" in head
    assert f" {480 * epoch:,} steps of 64 images" in head
    if name != "market1501":
        assert f"--hab=false --pab=false --total_steps={120 * epoch} after the flagfile" in head


@pytest.mark.parametrize("path", THIN, ids=lambda path: path.stem)
def test_another_set_changes_only_its_epochs(path):
    market = path.with_name("market1501_" + "_".join(path.stem.split("_")[-2:]) + ".flags")
    epochs = {"warmup_steps", "milestones", "total_steps"}
    changed = changes(parse(path), parse(market))
    assert set(changed) == (epochs if "_bot_" in path.name else set())


@pytest.mark.parametrize("recipe", ["bot", "trinet"])
def test_a_baseline_is_the_recipe_without_branches(recipe):
    baseline = parse(ROOT / f"configs/market1501_{recipe}_baseline.flags")
    changed = changes(baseline, parse(ROOT / f"configs/market1501_{recipe}_daaf.flags"))
    shorter = {"total_steps": 120 * 185} if recipe == "bot" else {}
    assert changed == {"hab": False, "pab": False, **shorter}


@each_flagfile
def test_its_head_says_what_to_expect(path):
    head = "\n".join(split(path)[0])
    assert [heading for heading in HEADINGS if f"\n# {heading}" not in head] == []
    assert f"configs/{path.name}" in head.partition("# Command:")[2]


@each_flagfile
def test_every_line_sets_one_setting_once(path):
    lines = [line for line in split(path)[1] if line and not line.startswith("#")]
    if lines[0].startswith("--flagfile="):
        # First, so that what follows wins; one step deep; found from the project's root.
        included = ROOT / lines.pop(0).partition("=")[2]
        assert included in FLAGFILES
        assert "--flagfile" not in "\n".join(split(included)[1])
    found = [re.fullmatch(r"--(\w+)=(\S+)", line) for line in lines]
    assert [line for line, match in zip(lines, found) if not match] == []
    names = [match.group(1) for match in found]
    assert set(names) <= set(settings())
    assert len(names) == len(set(names))
