"""Records that the programs train on."""

import pytest


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory):
    """Return a folder of records of eight persons, with query and gallery."""
    from daaf_tf.data.conversion import Conversion, convert
    from daaf_tf.data.synthetic import Preset, write_synthetic_market

    root = tmp_path_factory.mktemp("tiny")
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
    write_synthetic_market(root / "folders", preset, seed=1, workers=1, progress=False)
    conversion = Conversion("market1501", str(root / "folders"), str(root / "records"), workers=1)
    convert(conversion, show_progress=False)
    return root / "records"
