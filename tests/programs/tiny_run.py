"""A run that is as small as a run can be, as processes to be stopped, killed and compared."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 600  # what nothing here takes, unless it hangs
TINY = (
    "--backbone=resnet18",
    "--backbone_width=4",
    "--head_units=16",
    "--embedding_size=8",
    "--decoder_channels=4",
    "--image_height=64",
    "--image_width=32",
    "--identities_per_batch=4",
    "--images_per_identity=2",
    "--schedule=constant",
    "--padding=3",
    "--erasing_probability=0.5",
    "--pictures_every=0",
    "--deterministic",
)
NO_BRANCHES = ("--nohab", "--nopab")


class Run:
    """A training program in a process of its own."""

    def __init__(self, records, model_dir, *flags, tf_config=None):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("TF_CONFIG", None)
        if tf_config:
            environment["TF_CONFIG"] = json.dumps(tf_config)
        command = [sys.executable, "-m", "daaf_tf.train", *TINY, *map(str, flags)]
        command += [f"--data_dir={records}", f"--model_dir={model_dir}"]
        # A file, since a pipe that nobody reads would stop the process.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the run)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._printed, stderr=subprocess.STDOUT
        )

    def printed(self):
        """Return what it has printed so far."""
        with open(os.dup(self._printed.fileno()), "rb") as file:
            file.seek(0)
            return file.read().decode(errors="replace")

    def end(self, *codes, seconds=SECONDS):
        """Wait for its end with one of the exit codes; return what it printed."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running:\n{self.printed()}") from None
        printed = self.printed()
        assert code in (codes or (0,)), f"exit code {code}:\n{printed}"
        return printed

    def wait_until(self, condition):
        """Wait until the condition holds; fail if the process ends before."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert self.process.poll() is None, self.printed()
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.02)


@contextlib.contextmanager
def running(*runs):
    """End the processes, whatever happens inside."""
    try:
        yield runs
    finally:
        for run in runs:
            run.process.kill()
            run.process.wait()


def train(records, model_dir, *flags, codes=(0,)):
    """Train to the end and return what was printed."""
    with running(Run(records, model_dir, *flags)) as (run,):
        return run.end(*codes)


def start_workers(records, model_dir, count, *flags, own_flags=None):
    """Start the workers of a cluster on this host; the first is the chief.

    Flags of one worker alone are in `own_flags`, by its number.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        Run(
            records,
            model_dir,
            f"--cluster_timeout={SECONDS}",
            *flags,
            *(own_flags or {}).get(index, ()),
            tf_config={
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            },
        )
        for index in range(count)
    ]


def free_ports(count):
    """Return ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def list_steps(model_dir):
    """Return the steps of the checkpoints that are there."""
    return sorted(
        int(path.stem.split("-")[1]) for path in model_dir.glob("checkpoints/step-*.index")
    )


def read_weights(model_dir):
    """Return {name: array} of the newest checkpoint: model and optimizer."""
    import tensorflow as tf

    newest = model_dir / f"checkpoints/step-{list_steps(model_dir)[-1]}"
    reader = tf.train.load_checkpoint(str(newest))
    names = [name for name in reader.get_variable_to_shape_map() if "/.ATTR" in name]
    return {name: np.asarray(reader.get_tensor(name)) for name in names}


def read_losses(model_dir):
    """Return {name: [value of each logged step]} from TensorBoard's files."""
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(model_dir / "train"))
    events.Reload()
    return {
        tag: [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if tag.startswith("loss/")
    }


def read_figures(model_dir):
    """Return the lines of metrics.jsonl."""
    return [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text().splitlines()]


def assert_close(left, right, tolerance):
    """Compare two dicts of arrays, name by name; with tolerance 0 bit by bit."""
    assert left.keys() == right.keys()
    assert left
    for name, value in left.items():
        if tolerance:
            np.testing.assert_allclose(right[name], value, rtol=0, atol=tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(right[name], value, err_msg=name)
