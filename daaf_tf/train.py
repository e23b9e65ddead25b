"""Train a model: `python -m daaf_tf.train --flagfile=F --data_dir=R --model_dir=M`.

The flagfiles are in configs/. Run the same command again to go on after an interruption.
"""

from __future__ import annotations

import sys

from daaf_tf import flags

FLAGS = flags.FLAGS


def main() -> None:
    """Wire flags, model directory and training together."""
    # TensorFlow takes seconds to import; a wrong flag is told at once.
    config = flags.config_from_flags()

    from daaf_tf.model import resolve_backbone
    from daaf_tf.training.checkpoints import prepare_model_dir
    from daaf_tf.training.pretrained import resolve_pretrained
    from daaf_tf.training.strategy import make_strategy
    from daaf_tf.training.trainer import resolve_config, train
    from daaf_tf.training.workers import Workers

    config = resolve_config(config)
    strategy = make_strategy(config)
    # Another run's folder is read by building its network, for which devices must be settled.
    config = resolve_pretrained(resolve_backbone(config), FLAGS.model_dir)
    if Workers(strategy).is_chief:
        prepare_model_dir(FLAGS.model_dir, config, flags.to_flagfile(config))
    if not train(config, FLAGS.model_dir, strategy):
        print(f"stopped and saved in {FLAGS.model_dir}; the same command goes on from there")
        sys.exit(130)


if __name__ == "__main__":
    flags.define_settings()
    flags.DEFINE_string("model_dir", None, "Folder of the run: made, or gone on with.")
    flags.mark_flags_as_required(["data_dir", "model_dir"])
    flags.run(main)
