"""Writing the built-in synthetic set in the folders and names of Market-1501 and its annotations.

A run that was stopped goes on where it was, since a file that exists is whole. The bytes do not
depend on the number of processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib

import tqdm

from daaf_tf.data.synthetic_files import HEATMAPS, IMAGES, MASKS, make_files, paths_of
from daaf_tf.data.synthetic_folder import begin, finish, locked, writing
from daaf_tf.data.synthetic_plan import (
    FOLDERS,
    PRESETS,
    QUERY_FOLDER,
    TEST_FOLDER,
    TRAIN_FOLDER,
    Preset,
    Recipe,
    make_plan,
)
from daaf_tf.data.workers import workers as start_workers
from daaf_tf.errors import UserError

# Part of a set's description: to be raised whenever the same preset and seed give other bytes.
VERSION = 1


def write_synthetic_market(
    output_dir: str | os.PathLike,
    preset: str | Preset = "small",
    seed: int = 1,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, int]:
    """Write the synthetic set, or go on with it if a run of the same set was stopped.

    The folder then holds `Market-1501/`, `mask-anno/` and `Market_cpn_keypoints/` as the real data
    has them, and `synthetic.json`, written last: what the set is, and its counts.

    Args:
      output_dir: absent, empty, or begun by an earlier run of the same preset and seed.
      preset: a name in `PRESETS`, or sizes of one's own.
      seed: 0 or more; another seed is another set of people, cameras and places.
      workers: processes; 0: one for each CPU.
      progress: show a progress bar.

    Returns:
      Counts: images of `train`, `query` and `gallery`; `distractors` and `junk` in the gallery;
      `train_ids`, `query_ids`, `cameras`. If the set is there already, at once.

    Raises:
      UserError: a bad argument; a folder that holds anything else; another run at work in it; no
        room or no right to write.
    """
    recipe = _make_recipe(preset, seed, workers)
    description = describe(recipe)
    plan = make_plan(recipe)
    folder = pathlib.Path(output_dir)
    with writing(folder), locked(folder):
        if not begin(folder, description):
            _write_images(folder, recipe, plan, workers, progress)
            finish(folder, description, count(plan))
    return count(plan)


def describe(recipe: Recipe) -> dict:
    """Return what the bytes of a set follow from, as JSON values."""
    return {
        "version": VERSION,
        "preset": recipe.preset.name,
        "seed": recipe.seed,
        "sizes": dataclasses.asdict(recipe.preset),
        "difficulty": dataclasses.asdict(recipe.difficulty),
    }


def count(plan) -> dict[str, int]:
    """Return the counts of a plan, as `write_synthetic_market` does."""
    parts = {name: [spec for spec in plan if spec.folder == name] for name in FOLDERS}
    gallery = parts[TEST_FOLDER]
    return {
        "train": len(parts[TRAIN_FOLDER]),
        "query": len(parts[QUERY_FOLDER]),
        "gallery": len(gallery),
        "distractors": sum(spec.name.startswith("0000_") for spec in gallery),
        "junk": sum(spec.junk for spec in gallery),
        "train_ids": len({spec.person for spec in parts[TRAIN_FOLDER]}),
        "query_ids": len({spec.person for spec in parts[QUERY_FOLDER]}),
        "cameras": len({spec.camera for spec in plan}),
    }


def _make_recipe(preset, seed, workers):
    if not isinstance(preset, Preset):
        if preset not in PRESETS:
            raise UserError(f"--preset={preset}: expected one of {', '.join(PRESETS)}")
        preset = PRESETS[preset]
    for name, value in (("seed", seed), ("workers", workers)):
        if value < 0:
            raise UserError(f"--{name}={value}: expected 0 or more")
    return Recipe(preset, seed)


def _write_images(folder, recipe, plan, processes, progress):
    places = [f"{top}/{part}" for top in (IMAGES, MASKS) for part in FOLDERS] + [HEATMAPS]
    for place in places:
        (folder / place).mkdir(parents=True, exist_ok=True)
    there = set().union(*(_list_whole_files(folder, place) for place in places))
    missing = [spec for spec in plan if not there.issuperset(paths_of(spec))]
    write = functools.partial(_write_image, folder, recipe)
    done = len(plan) - len(missing)
    # A process draws the places for itself first: not worth it for a few images.
    processes = min(processes or _count_cpus(), 1 + len(missing) // 16)
    bar = functools.partial(tqdm.tqdm, total=len(plan), initial=done, unit="image")
    with start_workers(processes) as map_images:
        for _ in bar(map_images(write, missing), disable=not progress):
            pass


def _list_whole_files(folder, place):
    # A power cut may leave a file with its name but without its bytes.
    entries = os.scandir(folder / place)
    return {f"{place}/{entry.name}" for entry in entries if entry.stat().st_size}


def _count_cpus():
    with contextlib.suppress(AttributeError):  # not every system tells what this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_image(folder, recipe, spec):
    for path, content in make_files(recipe, spec).items():
        _write(os.path.join(folder, path), content)


def _write(path, content):
    # Not `write_atomically`, which waits for the disk: here are 300,000 small files. The temporary
    # name is the same in every run, so that a run that goes on leaves none behind.
    temporary = f"{path}.part"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
