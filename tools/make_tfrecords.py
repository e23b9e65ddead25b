"""Convert a folder of person crops, with masks and heat maps if there are any, into TFRecords.

python tools/make_tfrecords.py --dataset=market1501 --data_root=D --output_dir=R
python tools/make_tfrecords.py --dataset=csv --csv_file=F.csv --data_root=D --output_dir=R

D holds the data set's own folder and, beside it, the annotation folders (for market1501:
Market-1501/, mask-anno/, Market_cpn_keypoints/); docs/data_sets.md shows the layout of every set. R
gets the shards of each split, an index beside each, manifest.json, and problems.json with every
file that could not be used.
"""

from __future__ import annotations

import dataclasses

from daaf_tf import flags
from daaf_tf.data.annotations import HEATMAP_HEIGHT
from daaf_tf.data.beam import LOCAL_RUNNER
from daaf_tf.data.coco import AUTO
from daaf_tf.data.conversion import RUNNERS, Conversion, convert
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.summary import format_summary

# One flag for each field of Conversion.
flags.DEFINE_enum("dataset", "market1501", sorted(DATASETS), "Which data set it is.")
flags.DEFINE_string("data_root", None, "Folder that holds the data set's folders.")
flags.DEFINE_string("output_dir", None, "Folder for the records; new or empty.")
flags.DEFINE_string(
    "csv_file",
    "",
    "With --dataset=csv: names the images. Columns path (below --data_root), person_id, and if "
    "wanted camera_id and split.",
)
flags.DEFINE_string(
    "annotations",
    AUTO,
    "Where masks and keypoints come from, separated by commas: auto (the data set's own annotation "
    "folders), paths of COCO JSON files (they go first), or none. See docs/annotations.md.",
)
flags.DEFINE_integer(
    "num_shards", 0, "Shards of each split, at most one for each image; 0: by size."
)
flags.DEFINE_integer(
    "heatmap_height", HEATMAP_HEIGHT, "Height of a stored heat map in pixels; none is enlarged."
)
flags.DEFINE_integer("workers", 0, "Processes; 0: one for each CPU. The bytes are always the same.")
flags.DEFINE_enum(
    "runner",
    "processes",
    RUNNERS,
    "Who reads the images: processes of this machine, or Apache Beam (pip install "
    "'daaf_tf[beam]'). The bytes are always the same.",
)
flags.DEFINE_string(
    "beam_options",
    "",
    "With --runner=beam: Beam's own pipeline options in one string, such as "
    "'--runner=FlinkRunner --flink_master=host:8081'. All workers must see --data_root and "
    f"--output_dir under the same path. Empty: {LOCAL_RUNNER}, in this process.",
)
flags.DEFINE_bool("strict", False, "Stop at the first problem instead of listing it.")
flags.DEFINE_bool("overwrite", False, "Replace a complete conversion in --output_dir.")


def main() -> None:
    """Convert, and print the summary."""
    names = [field.name for field in dataclasses.fields(Conversion)]
    report = convert(Conversion(**{name: flags.FLAGS[name].value for name in names}))
    print(format_summary(report))


if __name__ == "__main__":
    flags.mark_flags_as_required(["data_root", "output_dir"])
    flags.run(main)
