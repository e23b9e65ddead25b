"""The commands and the example of docs/weights.md run, on a file of random weights."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from source_imports import ROOT

from daaf_tf.config import settings
from daaf_tf.model.resnet import resnet_features
from daaf_tf.model.resnet_names import torch_name
from daaf_tf.model.weights import read_arrays

PAGE = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the page's resnet50.pth; its kind is told by the content, so any kind does."""
    made = tmp_path_factory.mktemp("page")
    image = tf.keras.Input((32, 32, 3))
    arrays = read_arrays(tf.keras.Model(image, resnet_features(image, backbone="resnet50")))
    tensors = {
        torch_name(name): np.ascontiguousarray(
            array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        )
        for name, array in arrays.items()
    }
    safetensors.numpy.save_file(tensors, made / "resnet50.pth")
    return made


def test_the_conversion_runs(folder):
    commands = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    (words,) = [words for words in commands if words[1] == "tools/convert_weights.py"]
    command = [sys.executable, str(ROOT / words[1]), *words[2:]]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "resnet50 of width 64): 265 tensors loaded" in done.stdout
    assert (folder / "W.safetensors").is_file()


def test_the_example_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (example,) = blocks("python")
    exec(compile(example, "docs/weights.md", "exec"), {})
    assert "265 tensors loaded" in capsys.readouterr().out


def test_every_file_and_flag_named_exists():
    assert all(
        (ROOT / name).exists() for name in re.findall(r"\b(?:configs|tools|tests)/[\w/.]+\w", PAGE)
    )
    commands = [line for block in blocks("bash") for line in block.splitlines()]
    flags = {
        flag
        for line in commands
        if "daaf_tf.train" in line
        for flag in re.findall(r"--(\w+)=", line)
    }
    assert {"pretrained", "model_dir"} <= flags
    assert flags - set(settings()) == {"flagfile", "model_dir"}
