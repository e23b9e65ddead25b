"""Rank query against gallery records: `python -m daaf_tf.evaluate --model_dir=M --data_dir=R`."""

from __future__ import annotations

import json

from daaf_tf import flags
from daaf_tf.files import write_atomically

FLAGS = flags.FLAGS


def main() -> None:
    """Load the newest checkpoint, rank, print the figures."""
    from daaf_tf.model import embedding_model
    from daaf_tf.training.checkpoints import read_config
    from daaf_tf.training.evaluation import (
        evaluate_model,
        load_model,
        measure_attention,
        summarize,
    )

    config = flags.config_from_flags(read_config(FLAGS.model_dir))
    model, step = load_model(config, FLAGS.model_dir)
    result = evaluate_model(embedding_model(model), config)
    attention = measure_attention(model, config)
    figures = {**summarize(result), **attention}
    how = f"{config.eval.eval_metric}, test-time augmentation: {config.eval.tta}"
    print(f"{FLAGS.model_dir}, step {step}, on {config.data.data_dir} ({how})")
    print(f"{result.num_queries} queries, {result.queries_without_match} of them without a match")
    print(
        f"mAP {figures['mAP']:.2f} % (rectangle), {figures['mAP_trapezoid']:.2f} % (trapezoid), "
        f"mINP {figures['mINP']:.2f} %"
    )
    ranks = [f"rank-{name[4:]} {figures[name]:.2f} %" for name in figures if "rank" in name]
    print("CMC " + ", ".join(ranks))
    if attention:
        held_out = f"{config.data.held_out_identities} held-out identities"
        shares = ", ".join(f"{name.replace('_', ' ')} {x:.3f}" for name, x in attention.items())
        print(f"{held_out}: {shares}")
    if FLAGS.json_out:
        write_atomically(FLAGS.json_out, json.dumps({"step": step, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    flags.define_settings("eval")
    flags.DEFINE_string("data_dir", None, "Folder of TFRecords; default: the training's own.")
    flags.DEFINE_string("model_dir", None, "Folder that training has written.")
    flags.DEFINE_string("json_out", None, "Also write the figures to this file.")
    flags.mark_flags_as_required(["model_dir"])
    flags.run(main)
