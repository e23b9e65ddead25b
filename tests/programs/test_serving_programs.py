"""The server and its client as a user runs them: start, send files, stop."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from run_program import ROOT, run

from daaf_tf.config import Config
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.serving import load, write_saved_model

SERVER = ROOT / "tools/serve_rest.py"
CONFIG = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=8,
    head_units=16,
    embedding_size=8,
    hab=False,
    pab=False,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    tf.keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("exported")
    write_saved_model(embedding_model(build_daaf(CONFIG)), CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(5)
    for number in range(5):
        pixels = generator.integers(0, 256, (40, 20 + number, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return folder


@contextlib.contextmanager
def serving(*flags):
    """Start the server and yield the process and the address that it prints."""
    command = [sys.executable, str(SERVER), "--port=0", *map(str, flags)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"http://(127\.0\.0\.1:\d+)/v1/models/people", line)
            assert found, line + process.stdout.read()
            yield process, found[1]
        finally:
            process.kill()


def client(*flags, code=0):
    return run(ROOT / "tools/serving_client.py", "--timeout=60", *flags, code=code)


def test_serve_and_ask(exported, images, tmp_path):
    with serving(f"--saved_model={exported}", "--model=people") as (process, address):
        common = (f"--server={address}", "--model=people")
        output = tmp_path / "embeddings.npz"
        client(f"--images={images}", f"--output={output}", "--batch_size=2", *common)
        paths = sorted(images.iterdir())
        with np.load(output) as written:
            assert list(written["paths"]) == list(map(str, paths))
            np.testing.assert_allclose(
                written["embeddings"], load(exported).embed(paths), atol=1e-5
            )

        bad = tmp_path / "bad.jpg"
        bad.write_text("no image")
        printed = client(f"--images={images},{bad}", *common, code=1)
        assert f"error: {bad}: http://{address} refuses the request (HTTP 400): " in printed
        printed = client(f"--images={images}", f"--server={address}", "--model=other", code=1)
        assert "does not serve the model 'other'; it says: Servable not found" in printed

        port = address.partition(":")[2]
        printed = run(SERVER, f"--saved_model={exported}", f"--port={port}", code=1)
        assert f"--port={port}: cannot listen there" in printed

        printed = client(f"--images={paths[0]}", *common)
        (line,) = [line for line in printed.splitlines() if line.startswith("{")]
        assert len(json.loads(line)["embedding"]) == 8

        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 130
        assert rest == "interrupted\n"
    for protocol in ("rest", "grpc"):
        printed = client(f"--images={images}", f"--protocol={protocol}", *common, code=1)
        assert "no server answers there" in printed


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--port=70000", "port"),
        ("--max_batch_size=0", "max_batch_size"),
    ],
)
def test_a_server_that_cannot_start(exported, flag, message):
    printed = run(SERVER, f"--saved_model={exported}", flag, code=1)
    assert message in printed
