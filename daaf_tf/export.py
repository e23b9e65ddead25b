"""Write a SavedModel without branches: `python -m daaf_tf.export --model_dir=M --output_dir=S`."""

from __future__ import annotations

from daaf_tf import flags

FLAGS = flags.FLAGS


def main() -> None:
    """Load the newest checkpoint and write its embedding model as S/1 (or the next free number)."""
    from daaf_tf.serving import write_saved_model
    from daaf_tf.training.checkpoints import read_config
    from daaf_tf.training.evaluation import load_embedding_model

    config = read_config(FLAGS.model_dir)
    model, step = load_embedding_model(config, FLAGS.model_dir)
    path = write_saved_model(model, config, FLAGS.output_dir, description=f"step {step}")
    print(f"step {step} of {FLAGS.model_dir} written to {path}")


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Folder that training has written.")
    flags.DEFINE_string("output_dir", None, "Folder in which versions 1, 2, ... are written.")
    flags.mark_flags_as_required(["model_dir", "output_dir"])
    flags.run(main)
