"""One tiny synthetic set for all tests of whole programs."""

from __future__ import annotations

import pytest
from run_program import run


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    from daaf_tf.data.synthetic import Preset, write_synthetic_market

    root = tmp_path_factory.mktemp("folders")
    preset = Preset(
        name="tiny",
        train_ids=8,
        train_images=40,
        few_ids=1,
        few_least=1,
        most_images=8,
        test_ids=4,
        query_images=8,
        good_images=24,
        distractor_images=4,
        junk_images=4,
    )
    write_synthetic_market(root, preset, seed=1, workers=1, progress=False)
    return root


@pytest.fixture(scope="session")
def records(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "records"
    run(
        "tools/make_tfrecords.py",
        "--dataset=market1501",
        f"--data_root={folders}",
        f"--output_dir={output}",
    )
    return output
