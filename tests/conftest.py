"""What must be so before the first test is collected, and the one tiny set that tests share."""

import signal

import pytest

import daaf_tf  # noqa: F401 (before any test imports TensorFlow: it chooses its Keras)

# A runner that was started in the background ignores Ctrl-C, and every program that a test starts
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
    from daaf_tf.data.conversion import Conversion, convert

    output = tmp_path_factory.mktemp("made") / "records"
    convert(Conversion("market1501", str(folders), str(output), workers=1), show_progress=False)
    return output
