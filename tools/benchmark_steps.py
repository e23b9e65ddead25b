"""Time training steps in a process of its own and print the figures as JSON.

python tools/benchmark_steps.py --loop=bare|train [--steps=3] [--blocks=3] [--<setting>=...]

bare: a compiled loop over the model on random tensors. train: the real training on the records in
--data_dir, with input pipeline and callbacks. The settings are those of daaf_tf.train.
"""

from __future__ import annotations

import json
import tempfile

from daaf_tf import flags
from daaf_tf.benchmarks import read_peak_memory
from daaf_tf.config import Config

# Classes of the id loss where no records say how many; Market-1501 has as many.
NUM_IDENTITIES = 751


def main() -> None:
    """Measure, and print JSON."""
    values = flags.FLAGS
    seconds = measure(flags.config_from_flags(), values.loop, values.steps, values.blocks)
    print(json.dumps({"seconds_per_step": seconds, "peak_mb": read_peak_memory()}))


def measure(config: Config, loop: str, steps: int, blocks: int) -> list[float]:
    """Return the seconds per step of each block."""
    from daaf_tf.training.strategy import make_strategy
    from daaf_tf.training.timing import time_bare_loop, time_train
    from daaf_tf.training.trainer import resolve_config

    if loop == "bare":
        config = config.replace(num_identities=config.model.num_identities or NUM_IDENTITIES)
        return time_bare_loop(config, make_strategy(config), steps=steps, blocks=blocks)
    config = resolve_config(config)
    with tempfile.TemporaryDirectory(prefix="daaf_tf_benchmark_") as folder:
        strategy = make_strategy(config)
        return time_train(config, folder, strategy, steps=steps, blocks=blocks)


if __name__ == "__main__":
    flags.define_settings()
    flags.DEFINE_enum("loop", "bare", ("bare", "train"), "What is timed.")
    flags.DEFINE_integer("steps", 3, "Steps in a timed block.")
    flags.DEFINE_integer("blocks", 3, "Timed blocks; one more is run first and not counted.")
    flags.run(main)
