"""Convert a file of pre-trained weights once, offline: whatever wrote it, to safetensors or HDF5.

python tools/convert_weights.py --input=resnet50.pth --output=W.safetensors --backbone=resnet50

Prints what was taken and what was left; `daaf_tf.train --pretrained=W.safetensors` reads the
result. See docs/weights.md.
"""

from __future__ import annotations

from daaf_tf import flags

FLAGS = flags.FLAGS


def main() -> None:
    """Read, check against the backbone, and write."""
    # TensorFlow takes seconds to import; a wrong flag is told at once.
    config = flags.config_from_flags().replace(
        pretrained=FLAGS.input, hab=False, pab=False, identity_weight=0.0
    )

    from daaf_tf.model import backbone_model, build_daaf, resolve_backbone
    from daaf_tf.model.weights import load_weights, write_weights
    from daaf_tf.training.pretrained import read_pretrained

    backbone = backbone_model(build_daaf(resolve_backbone(config)))
    report = load_weights(backbone, read_pretrained(config))
    write_weights(backbone, FLAGS.output, report.network)
    print(f"{report}\nwritten to {FLAGS.output}")


if __name__ == "__main__":
    flags.define_settings("model")
    flags.DEFINE_string(
        "input", None, "File of weights, keras-cv preset folder, or a run's folder."
    )
    flags.DEFINE_string(
        "output", None, "File to write, replaced if it exists: .safetensors or .h5."
    )
    flags.mark_flags_as_required(["input", "output"])
    flags.run(main)
