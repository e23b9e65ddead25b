"""Write a trained network as a SavedModel: `python -m daaf_tf.export --model_dir=M --output_dir=S`.

The written model must rank the query and gallery records as the network does, or nothing is left of
it. docs/export.md tells of signatures, flags and what is checked.
"""

from __future__ import annotations

from daaf_tf import flags

FLAGS = flags.FLAGS


def main() -> None:
    """Load the newest checkpoint and write its embedding model as S/1 (or the next free number)."""
    from daaf_tf.model import embedding_model
    from daaf_tf.model.precision import build_in_precision
    from daaf_tf.sections.train import NO_TTA
    from daaf_tf.serving import ExportOptions, runtimes, write_saved_model
    from daaf_tf.serving.calibration import read_calibration
    from daaf_tf.serving.card import describe_data
    from daaf_tf.serving.export import write_converted
    from daaf_tf.training.checkpoints import read_config
    from daaf_tf.training.evaluation import load_model
    from daaf_tf.training.metrics_file import read_figures

    # Ten views cost ten times as much: the written model averages some only where it is told to.
    run = read_config(FLAGS.model_dir)
    config = flags.config_from_flags(run.replace(tta=NO_TTA), own=["precision"])
    options = ExportOptions(FLAGS.normalize, FLAGS.attention, FLAGS.precision)
    network, step = load_model(config, FLAGS.model_dir)
    model = embedding_model(network)
    described = {
        "options": options,
        "description": f"step {step}",
        "facts": {
            "metrics": read_figures(FLAGS.model_dir, step),
            "metrics_tta": run.eval.tta,
            "data": describe_data(config),
            "license": FLAGS.license,
        },
        "verify": make_verify(model, config, options) if FLAGS.parity else None,
    }
    if FLAGS.format == runtimes.SAVED_MODEL:
        reduced = build_in_precision(network, config, options.precision)
        written = reduced if options.attention else embedding_model(reduced)
        path = write_saved_model(written, config, FLAGS.output_dir, **described)
    else:
        how = {
            "calibration": lambda: read_calibration(config, FLAGS.calibration_images),
            **described,
        }
        path = write_converted(model, config, FLAGS.output_dir, FLAGS.format, **how)
    print(f"step {step} of {FLAGS.model_dir} written to {path}")


def make_verify(model, config, options):
    """Return a function that compares a written model with the trained one, and tells it."""
    from daaf_tf.serving import parity, runtimes
    from daaf_tf.training.evaluation import compute_features

    def verify(folder):
        positions = parity.choose_positions(config.data.data_dir, FLAGS.parity_images)
        trained = {
            split: compute_features(model, config, split, positions=chosen)
            for split, chosen in positions.items()
        }

        def compare(path, precision):
            written = parity.embed_in_fresh_process(path, config, positions)
            how = {"metric": config.eval.eval_metric, "normalize": options.normalize}
            return parity.compare(trained, written, precision=precision, **how)

        if FLAGS.format == runtimes.SAVED_MODEL:
            figures = compare(folder, options.precision)
        elif FLAGS.format == runtimes.ONNX:
            figures = compare(folder / runtimes.ONNX_FILE, options.precision)
        else:
            figures = compare(folder / runtimes.TFLITE_FILE, options.precision)
            figures["int8"] = compare(folder / runtimes.INT8_FILE, parity.INT8)
            print(f"int8: mAP {figures['int8']['mAP_written']:.4f} %")
        print(
            f"checked on {figures['queries']} queries and {figures['gallery']} gallery images: mAP "
            f"{figures['mAP_written']:.4f} % (trained network {figures['mAP_trained']:.4f} %), "
            f"largest difference of an embedding {figures['largest_difference']:.1e} of its length"
        )
        return figures

    return verify


if __name__ == "__main__":
    flags.define_settings("eval")
    flags.DEFINE_string("model_dir", None, "Folder that training has written.")
    flags.DEFINE_string("output_dir", None, "Folder in which versions 1, 2, ... are written.")
    flags.DEFINE_string("data_dir", None, "Records for the check; default: the training's own.")
    flags.DEFINE_enum(
        "format",
        "saved_model",
        ("saved_model", "onnx", "tflite"),
        "What is written; onnx needs tf2onnx and onnxruntime, tflite writes float32 and int8.",
    )
    flags.DEFINE_integer(
        "calibration_images", 200, "Training images by which int8 chooses ranges.", lower_bound=1
    )
    flags.DEFINE_bool("normalize", False, "Give out embeddings of length 1.")
    flags.DEFINE_bool("attention", False, "Also give out the branches' maps, by own signatures.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        ("float32", "float16", "bfloat16"),
        "Type of the weights and the arithmetic; embeddings are float32 in any case.",
    )
    flags.DEFINE_bool(
        "parity", True, "Check that the written model ranks as the trained network does."
    )
    flags.DEFINE_integer(
        "parity_images", 1000, "Images of the check; 0: all query and gallery.", lower_bound=0
    )
    flags.DEFINE_string("license", "", "Terms of the weights, a line for the model card.")
    flags.mark_flags_as_required(["model_dir", "output_dir"])
    flags.run(main)
