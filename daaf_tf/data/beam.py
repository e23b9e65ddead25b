"""A map over the workers of an Apache Beam runner, for data sets that one machine is too slow for.

Like `daaf_tf.data.workers` it gives a function like `map` that keeps the order, so a conversion by
Beam writes the very bytes that one by processes does. Tasks and results go through files in a
folder that all workers must see: a pipeline's description stays small however many images there
are, and nothing but file names returns through Beam.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pathlib
import pickle
import shlex
import uuid
from collections.abc import Callable, Iterable, Iterator

from daaf_tf.errors import UserError

# Beam's own runner in this process. What it calls DirectRunner first downloads another one.
LOCAL_RUNNER = "--runner=FnApiRunner"

# Images per task: some seconds of work, and a result of a few MB.
_CHUNK = 256


@contextlib.contextmanager
def beam_workers(
    options: str, folder: str | os.PathLike
) -> Iterator[Callable[[Callable, Iterable], Iterator]]:
    """Yield a function like `map` that shares the work out by Beam and keeps the order.

    Args:
      options: Beam's pipeline options as on a command line, `--runner` among them; empty:
        LOCAL_RUNNER.
      folder: for tasks and results, on a file system that all workers share; may be made later.

    Raises:
      UserError: Apache Beam is not installed, or options that it does not take.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            f"--runner=beam needs Apache Beam ({error}): pip install 'daaf_tf[beam]'"
        ) from error
    try:
        pipeline_options = PipelineOptions(shlex.split(options or LOCAL_RUNNER))
        pipeline_options.get_all_options()
    except (SystemExit, ValueError) as error:  # argparse exits
        raise UserError(f"--beam_options={options}: not understood ({error})") from error
    yield functools.partial(_map_in_order, pipeline_options, pathlib.Path(folder).absolute())


def _map_in_order(options, folder: pathlib.Path, function: Callable, items: Iterable) -> Iterator:
    """Run a pipeline over all items, then yield the results in order."""
    import apache_beam as beam

    items, tasks = iter(items), []
    for chunk in iter(lambda: list(itertools.islice(items, _CHUNK)), []):
        tasks.append(str(folder / f"beam-{uuid.uuid4().hex}"))
        _write(f"{tasks[-1]}.task", (function, chunk))
    if not tasks:
        return
    with beam.Pipeline(options=options) as pipeline:
        # Without Reshuffle, the tasks would be fused to one bundle on one worker.
        _ = pipeline | beam.Create(tasks, reshuffle=False) | beam.Reshuffle() | beam.Map(_run_task)
    for task in tasks:
        results = _read(f"{task}.result")
        for suffix in (".task", ".result"):
            os.unlink(task + suffix)
        yield from results


def _run_task(task: str) -> None:
    """Do one task; the work of a Beam worker. Done twice, it leaves the same result."""
    try:
        function, chunk = _read(f"{task}.task")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename}: a worker does not see it; --data_root and --output_dir must lie on "
            "a file system that all workers share, under the same path"
        ) from None
    _write(f"{task}.result", list(map(function, chunk)))


def _read(path: str):
    with open(path, "rb") as file:
        return pickle.load(file)


def _write(path: str, value) -> None:
    """Write a file whole: a worker that dies, or a second one at the same task, does no harm."""
    temporary = f"{path}.{uuid.uuid4().hex}"
    with open(temporary, "wb") as file:
        pickle.dump(value, file, protocol=4)
    os.replace(temporary, path)
