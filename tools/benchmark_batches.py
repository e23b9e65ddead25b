"""Measure the input pipeline in a process of its own and print the figures as JSON.

python tools/benchmark_batches.py --data_dir=R [--annotations=false] [--batches=40] [--blocks=3]

Batches are those of a 256x128 recipe, P=16 and K=4: decode, resize, pad by 10, crop, flip,
normalise; with annotations also the mask and 17 keypoint maps at 128x64.
"""

import time

STARTED = time.perf_counter()

import json  # noqa: E402

from daaf_tf import flags  # noqa: E402
from daaf_tf.benchmarks import read_peak_memory  # noqa: E402
from daaf_tf.config import Config  # noqa: E402

flags.DEFINE_string("data_dir", None, "Folder of TFRecords that tools/make_tfrecords.py wrote.")
flags.DEFINE_bool("annotations", True, "Mask and keypoint maps too; false: the image alone.")
flags.DEFINE_integer("batches", 40, "Batches in a timed block.")
flags.DEFINE_integer("blocks", 3, "Timed blocks; one more is run first and not counted.")


def measure(config: Config, batches: int, blocks: int) -> dict:
    """Return seconds to import and to the first batch, images/s of each block, and peak memory."""
    from daaf_tf.data import make_train_batches  # imports TensorFlow

    imported = time.perf_counter()
    iterator = iter(make_train_batches(config))
    next(iterator)
    first = time.perf_counter()
    rates = [
        config.batch_size * batches / time_batches(iterator, batches) for _ in range(blocks + 1)
    ]
    return {
        "import_seconds": imported - STARTED,
        "first_batch_seconds": first - imported,
        "images_per_second": rates[1:],
        "peak_mb": read_peak_memory(),
    }


def time_batches(iterator, count: int) -> float:
    """Return the seconds that the next batches take."""
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    return time.perf_counter() - start


def main() -> None:
    """Measure, and print JSON."""
    values = flags.FLAGS
    config = Config().replace(
        data_dir=values.data_dir,
        identities_per_batch=16,
        images_per_identity=4,
        padding=10,
        hab=values.annotations,
        pab=values.annotations,
    )
    print(json.dumps(measure(config, values.batches, values.blocks)))


if __name__ == "__main__":
    flags.mark_flags_as_required(["data_dir"])
    flags.run(main)
