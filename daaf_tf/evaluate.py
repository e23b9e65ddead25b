"""Score retrieval: by a model over records or folders of images, or of features as they are.

    python -m daaf_tf.evaluate --model_dir=M
    python -m daaf_tf.evaluate --saved_model=S --dataset=market1501 --data_root=D
    python -m daaf_tf.evaluate --features=F.npz --rerank

--data_dir, --dataset with its --data_root and --features may be given several times, once for each
data set: the table then has a row for each. With --features no TensorFlow is needed.
docs/retrieval.md tells more.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from daaf_tf import flags
from daaf_tf.data.datasets import DATASETS
from daaf_tf.errors import UserError
from daaf_tf.evaluation.evaluated import EmbeddedSet, EvaluatedSet
from daaf_tf.evaluation.image_sets import ImageSet, open_folder, open_records
from daaf_tf.evaluation.ranking import Ranking, rank
from daaf_tf.evaluation.reports import write_reports
from daaf_tf.evaluation.sources import Source, embed_images, read_feature_set
from daaf_tf.evaluation.tables import format_json, format_measured, format_problems, format_table
from daaf_tf.files import write_atomically
from daaf_tf.report import make_report_folder
from daaf_tf.retrieval import write_features

FLAGS = flags.FLAGS
SOURCES = ("model_dir", "saved_model", "features")
# Of no use where images are embedded already.
OF_IMAGES = ("data_dir", "dataset", "data_root", "csv_file", "strict", "features_out", "tta")
OF_RERANKING = ("k1", "k2", "lambda_value")


def main() -> None:
    """Get the features of each data set, rank, show the figures."""
    ranking = flags.section_from_flags(Ranking)
    check_flags(ranking)
    if FLAGS.features:
        source, images, sets = None, [], read_sets()
    else:
        source, images = open_source(ranking)
        sets = embed_sets(source, images, ranking)
    evaluated = [evaluate(embedded, ranking) for embedded in sets]
    print(format_table(evaluated, ranking))
    if FLAGS.json_out:
        text = format_json(evaluated, ranking, step=source and source.step)
        try:
            write_atomically(FLAGS.json_out, text)
        except OSError as error:
            raise UserError(f"--json_out={FLAGS.json_out} cannot be written: {error}") from error
    if FLAGS.report:
        report(evaluated, ranking, source, images)


def check_flags(ranking: Ranking) -> None:
    """Refuse flags that do not go together, before anything takes time."""
    given = [name for name in SOURCES if FLAGS[name].value]
    if len(given) != 1:
        listed = ", ".join(f"--{name}" for name in given) or "none"
        raise UserError(f"expected one of --{', --'.join(SOURCES)}; received {listed}")
    useless = OF_IMAGES if FLAGS.features else ("image_root",)
    useless = [name for name in useless if FLAGS[name].present]
    if useless:
        raise UserError(f"--{useless[0]} does not go with --{given[0]}")
    useless = [name for name in OF_RERANKING if FLAGS[name].present]
    if useless and not ranking.rerank:
        raise UserError(f"--{useless[0]} without --rerank")
    if FLAGS.saved_model and not FLAGS.data_dir and not FLAGS.dataset:
        raise UserError("--saved_model: give --data_dir, or --dataset and --data_root")
    for name in ("data_root", "csv_file"):
        if FLAGS[name].value and not FLAGS.dataset:
            raise UserError(f"--{name} without --dataset")
    for path in [*FLAGS.features_out, *([FLAGS.json_out] if FLAGS.json_out else [])]:
        if not pathlib.Path(path).absolute().parent.is_dir():
            raise UserError(f"{path}: there is no such folder to write into")
    if FLAGS.report:
        make_report_folder(FLAGS.report)


def read_sets() -> Iterator[EmbeddedSet]:
    """Yield the data sets of --features."""
    metric = FLAGS.eval_metric if FLAGS["eval_metric"].present else ""
    for path in FLAGS.features:
        yield read_feature_set(path, metric=metric, image_root=FLAGS.image_root)


def open_source(ranking: Ranking) -> tuple[Source, list[ImageSet]]:
    """Open the data sets that are to be embedded, and load what embeds them."""
    # Both import TensorFlow, which features need not.
    if FLAGS.saved_model:
        images = open_images(ranking, [])
        from daaf_tf.evaluation.saved_model_source import SavedModelSource

        source = SavedModelSource(
            FLAGS.saved_model,
            metric=FLAGS.eval_metric if FLAGS["eval_metric"].present else "",
            tta=FLAGS.tta,
            batch_size=FLAGS.eval_batch_size,
        )
    else:
        from daaf_tf.evaluation.model_source import ModelSource
        from daaf_tf.training.checkpoints import read_config

        config = flags.config_from_flags(read_config(FLAGS.model_dir), own=["data_dir"])
        images = open_images(ranking, [config.data.data_dir])
        source = ModelSource(config, FLAGS.model_dir)
    ranking.check_metric(source.metric)
    return source, images


def open_images(ranking: Ranking, trained_on: list[str]) -> list[ImageSet]:
    """Open every data set that the flags name; where they name none, what was trained on."""
    splits, datasets, roots = ranking.splits(), FLAGS.dataset, FLAGS.data_root
    folders = FLAGS.data_dir or ([] if datasets else trained_on)
    images = [open_records(folder, splits) for folder in folders]
    if len(roots) not in (1, len(datasets)) and datasets:
        raise UserError(
            f"{len(datasets)} --dataset and {len(roots)} --data_root: give one for each, or one "
            "for all"
        )
    files = iter(FLAGS.csv_file)
    if len(FLAGS.csv_file) != datasets.count("csv"):
        raise UserError(
            f"{datasets.count('csv')} times --dataset=csv and {len(FLAGS.csv_file)} --csv_file: "
            "give a file for each, and for no other data set"
        )
    for dataset, root in zip(datasets, roots * len(datasets) if len(roots) == 1 else roots):
        csv_file = next(files) if dataset == "csv" else ""
        images.append(open_folder(dataset, root, splits, csv_file=csv_file, strict=FLAGS.strict))
    if FLAGS.features_out and len(FLAGS.features_out) != len(images):
        raise UserError(
            f"{len(FLAGS.features_out)} --features_out for {len(images)} data sets: give one for "
            "each"
        )
    return images


def embed_sets(source: Source, images: list[ImageSet], ranking: Ranking) -> Iterator[EmbeddedSet]:
    """Yield the data sets embedded; name what could not be, and write the features if asked to."""
    for number, each in enumerate(images):
        embedded = embed_images(source, each, ranking.splits())
        for line in (*format_problems(each), *format_measured(embedded)):
            print(line)
        if FLAGS.features_out:
            write_features(FLAGS.features_out[number], embedded.embedded)
        yield embedded


def evaluate(embedded: EmbeddedSet, ranking: Ranking) -> EvaluatedSet:
    """Rank a data set; what is wrong with it is told with its name."""
    try:
        return rank(embedded, ranking)
    except UserError as error:
        raise UserError(f"{embedded.name}: {error}") from error


def report(
    evaluated: list[EvaluatedSet],
    ranking: Ranking,
    source: Source | None,
    images: list[ImageSet],
) -> None:
    """Write the reports, and say where they are."""
    attention = [source.sample_attention(each) for each in images] if source else []
    attention += [[]] * (len(evaluated) - len(attention))
    step = source and source.step
    for path in write_reports(FLAGS.report, evaluated, ranking, attention, step=step):
        print(f"report: {path}")


if __name__ == "__main__":
    flags.define_settings("eval")
    flags.define_section(Ranking)
    flags.DEFINE_string("model_dir", None, "Folder that training has written.")
    flags.DEFINE_string("saved_model", None, "Exported model, or the folder of its versions.")
    flags.DEFINE_multi_string(
        "features", [], "File of features (.npz) in place of a model; once for each data set."
    )
    flags.DEFINE_multi_string(
        "data_dir",
        [],
        "Folder of TFRecords, once for each data set; default: what --model_dir was trained on.",
    )
    flags.DEFINE_multi_enum(
        "dataset",
        [],
        sorted(DATASETS),
        "Data set in plain folders, as tools/make_tfrecords.py takes it; once for each.",
    )
    flags.DEFINE_multi_string(
        "data_root", [], "Folder that holds the folders of --dataset: one for each, or for all."
    )
    flags.DEFINE_multi_string(
        "csv_file", [], "Names the images, once for each --dataset=csv; see docs/data_sets.md."
    )
    flags.DEFINE_bool("strict", False, "Stop at the first image of a folder that cannot be used.")
    flags.DEFINE_string(
        "image_root",
        "",
        "With --features: folder of the images, <split>/<file name>, as "
        "tools/inspect_records.py --extract writes it.",
    )
    flags.DEFINE_multi_string(
        "features_out", [], "Also write the features to this file (.npz); once for each data set."
    )
    flags.DEFINE_string("json_out", None, "Also write the figures to this file.")
    flags.DEFINE_string(
        "report",
        None,
        "Also write a page that shows what is ranked wrongly, <report>/index.html, and its "
        "pictures and the embeddings for TensorBoard below <report>; of several data sets in "
        "folders of their own. See docs/report.md.",
    )
    flags.run(main)
