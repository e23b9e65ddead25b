"""See people being told apart: the main job end to end on the built-in synthetic set.

    python3 tools/quickstart.py

Needs nothing but Python 3.9 to 3.13: the first start makes `.venv` and installs into it. Draws the
data set, converts it, trains a small DAAF network, evaluates, exports and queries the exported
model; each step is a plain command that is printed before it runs. Interrupt it whenever you like;
the next start goes on from there. Results: runs/quickstart.
"""

import bootstrap

bootstrap.ensure()

# From here on this is the Python of .venv, with everything installed.
import json  # noqa: E402
import pathlib  # noqa: E402
import sys  # noqa: E402

from daaf_tf.programs import run_python  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = pathlib.Path("runs/quickstart")
DATA, RECORDS, MODEL, SAVED_MODEL = (
    RUN / name for name in ("data", "records", "model", "saved_model")
)
METRICS = RUN / "metrics.json"
RANKED = RUN / "ranked.png"
REPORT = RUN / "report"
NUM_SHOWN = 6


def main():
    """Run each step that has not been done yet, then show the figures."""
    python("tools/make_synthetic_market.py", f"--output_dir={DATA}", "--preset=small")
    if not (RECORDS / "manifest.json").exists():
        python(
            "tools/make_tfrecords.py",
            "--dataset=market1501",
            f"--data_root={DATA}",
            f"--output_dir={RECORDS}",
        )
    python(
        "-m",
        "daaf_tf.train",
        "--flagfile=configs/quickstart.flags",
        f"--data_dir={RECORDS}",
        f"--model_dir={MODEL}",
        f"--precision={choose_precision()}",
    )
    trained = RUN / "trained.json"
    python(
        "-m",
        "daaf_tf.evaluate",
        f"--model_dir={MODEL}",
        f"--data_dir={RECORDS}",
        f"--json_out={trained}",
        f"--report={REPORT}",
    )
    if not SAVED_MODEL.exists():
        python("-m", "daaf_tf.export", f"--model_dir={MODEL}", f"--output_dir={SAVED_MODEL}")
    query_saved_model()
    figures = {
        "histogram": rank_histograms(),
        "untrained": read_untrained(),
        "trained": select(json.loads(trained.read_text())),
    }
    METRICS.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)


def choose_precision():
    """Choose bfloat16 where the processor computes in it; elsewhere it would be slower."""
    try:
        features = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        features = ""
    return "mixed_bfloat16" if "_bf16" in features else "float32"


def python(*arguments):
    """Print a command and run it; end with its exit code if it fails."""
    print(f"\n$ python {' '.join(arguments)}", flush=True)
    code = run_python(list(map(str, arguments)))
    if code == 130:
        print("interrupted; python3 tools/quickstart.py goes on from here", file=sys.stderr)
    if code:
        sys.exit(code)


def list_test_images():
    """List query and gallery of the folders that were drawn."""
    from daaf_tf.data.datasets import DATASETS
    from daaf_tf.data.listing import list_images

    images = list_images(DATASETS["market1501"], DATA).images
    return images["query"], images["gallery"]


def read_pixels(file):
    """Read an image of the list as uint8 RGB pixels."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(DATA / file.path).convert("RGB"))


def query_saved_model():
    """Ask the exported model who is on some query images, and draw its answers."""
    from daaf_tf import retrieval, serving
    from daaf_tf.training.checkpoints import read_config

    query, gallery = list_test_images()
    query = query[:: len(query) // NUM_SHOWN][:NUM_SHOWN]
    print(f"\nasking {SAVED_MODEL} who is on {len(query)} of the query images", flush=True)
    model = serving.load(SAVED_MODEL)
    distances = retrieval.compute_distances(
        *(model.embed([DATA / file.path for file in files]) for files in (query, gallery)),
        metric=read_config(MODEL).eval.eval_metric,
    )
    rows = [
        retrieval.make_ranked_row(
            read_pixels(file),
            row,
            query_id=file.person_id,
            gallery_ids=[other.person_id for other in gallery],
            query_camera=file.camera_id,
            gallery_cameras=[other.camera_id for other in gallery],
            gallery_image=lambda index: read_pixels(gallery[index]),
        )
        for file, row in zip(query, distances)
    ]
    retrieval.draw_ranked_results(rows).save(RANKED)


def rank_histograms():
    """Rank by colour histograms: the floor that a network has to beat."""
    from daaf_tf import retrieval

    query, gallery = list_test_images()
    result = retrieval.evaluate(
        *(
            retrieval.compute_colour_histograms(map(read_pixels, files))
            for files in (query, gallery)
        ),
        query_ids=[file.person_id for file in query],
        gallery_ids=[file.person_id for file in gallery],
        query_cameras=[file.camera_id for file in query],
        gallery_cameras=[file.camera_id for file in gallery],
    )
    return {"mAP": 100 * result.mean_ap, "rank1": 100 * float(result.cmc[0])}


def read_untrained():
    """Read the figures of step 0, before training."""
    first = (MODEL / "metrics.jsonl").read_text().splitlines()[0]
    return select(json.loads(first))


def select(figures):
    """Keep mAP and rank-1."""
    return {name: figures[name] for name in ("mAP", "rank1")}


def show(figures):
    """Print the table and where everything lies."""
    print(f"\n{'':24}{'mAP %':>8}{'rank-1 %':>10}")
    for name, title in (
        ("histogram", "colour histograms"),
        ("untrained", "untrained network"),
        ("trained", "trained DAAF network"),
    ):
        print(f"{title:24}{figures[name]['mAP']:8.1f}{figures[name]['rank1']:10.1f}")
    print(f"\nSavedModel        {SAVED_MODEL}/1")
    print(f"ranked queries    {RANKED}")
    print(f"report            {REPORT}/index.html")
    print(f"attention         {MODEL}/attention.png")
    print(f"figures           {METRICS}")
    print(f"TensorBoard       tensorboard --logdir {MODEL}")


if __name__ == "__main__":
    main()
