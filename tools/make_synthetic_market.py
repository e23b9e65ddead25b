"""Draw the built-in synthetic data set in the layout of Market-1501 with masks and keypoint maps.

python tools/make_synthetic_market.py --output_dir=data/synthetic [--preset=small] [--seed=1]
"""

from __future__ import annotations

from daaf_tf import flags
from daaf_tf.data.synthetic import write_synthetic_market
from daaf_tf.data.synthetic_plan import PRESETS

flags.DEFINE_string("output_dir", None, "Folder to write to: new, empty, or begun by this program.")
flags.DEFINE_enum("preset", "small", tuple(PRESETS), "small, or the real Market-1501's counts.")
flags.DEFINE_integer("seed", 1, "Another seed is another set of people, cameras and places.")
flags.DEFINE_integer("workers", 0, "Processes; 0: one for each CPU. The bytes are always the same.")


def main() -> None:
    """Write the set and say what it holds."""
    values = flags.FLAGS
    counts = write_synthetic_market(
        values.output_dir, preset=values.preset, seed=values.seed, workers=values.workers
    )
    print(f"{values.output_dir} holds the synthetic set {values.preset}, seed {values.seed}:")
    print(
        "  {train} training images of {train_ids} people, seen by {cameras} cameras".format(
            **counts
        )
    )
    print("  {query} query images of {query_ids} other people".format(**counts))
    print(
        "  {gallery} gallery images, among them {distractors} distractors and {junk} junk".format(
            **counts
        )
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["output_dir"])
    flags.run(main)
