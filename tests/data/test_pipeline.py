from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data import make_eval_batches, make_train_batches
from daaf_tf.data.augment import (
    Transformation,
    augment_image,
    augment_keypoints,
    augment_mask,
    draw_keypoints,
    draw_transformations,
)
from daaf_tf.data.pipeline import user_error
from daaf_tf.data.preprocess import decode_image, preprocess_image
from daaf_tf.data.records import ImageRecord, RecordReader, ShardWriter, make_example, shard_name
from daaf_tf.data.sampling import BatchSampler
from daaf_tf.errors import UserError

IMAGES_PER_LABEL = (4, 2, 5, 3, 6)
P, K = 3, 4
PERSON_IDS = (2, 7, 11, 33, 40)
GARBAGE = b"\x89PNG no image"


def encode(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def make_record(number, person_id, **changes):
    """Return a drawn image; every third has no mask, every fourth no maps."""
    random = np.random.RandomState(number)
    mask = np.kron(random.randint(0, 2, (8, 4)), np.full((8, 8), 255)).astype(np.uint8)
    maps = np.kron(random.randint(0, 256, (17 * 8, 4)), np.ones((8, 8))).astype(np.uint8)
    values = {
        "encoded": encode(random.randint(0, 256, (64, 32, 3)).astype(np.uint8), "JPEG"),
        "image_format": "jpeg",
        "filename": f"{person_id:04d}_c{number % 6 + 1}s1_{number:06d}_01.jpg",
        "height": 64,
        "width": 32,
        "person_id": person_id,
        "camera_id": number % 6 + 1,
        "mask": encode(mask, "PNG") if number % 3 else None,
        "heatmaps": encode(maps, "PNG") if number % 4 else None,
    }
    return ImageRecord(**{**values, **changes})


def write_records(folder, *, images_per_label=IMAGES_PER_LABEL, query=7, **changes):
    """Write training records and `query` queries; changes go into every training record."""
    number, splits = 0, {}
    with ShardWriter(folder / shard_name("train", 0, 1)) as writer:
        for label, count in enumerate(images_per_label):
            for _ in range(count):
                record = make_record(number, PERSON_IDS[label], **changes)
                writer.write(make_example(record, label))
                number += 1
    counts = list(images_per_label)
    splits["train"] = {"images": number, "shards": [writer.summary()], "images_per_label": counts}
    with ShardWriter(folder / shard_name("query", 0, 1)) as writer:
        for index in range(query):
            writer.write(make_example(make_record(100 + index, index - 1)))
    splits["query"] = {"images": query, "shards": [writer.summary()]}
    manifest = {"schema_version": schema.SCHEMA_VERSION, "splits": splits}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_records(tmp_path_factory.mktemp("records"))


def make_config(folder, **changes):
    values = {
        "data_dir": str(folder),
        "image_height": 64,
        "image_width": 32,
        "padding": 4,
        "erasing_probability": 0.5,
        "identities_per_batch": P,
        "images_per_identity": K,
        "eval_batch_size": 3,
    }
    return Config().replace(**{**values, **changes})


def take(dataset, count):
    return [
        {name: values.numpy() for name, values in batch.items()} for batch in dataset.take(count)
    ]


def assert_equal(batch, other):
    assert batch.keys() == other.keys()
    for name, values in batch.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def damage(folder, split):
    """Flip one bit in the middle of the split's shard."""
    path = folder / shard_name(split, 0, 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("hab", "pab"), [(True, True), (True, False), (False, True), (False,) * 2])
@pytest.mark.parametrize(("last_stride", "target"), [(1, (64, 32)), (2, (32, 16))])
def test_train_batches_hold_what_the_model_learns_from(records, hab, pab, last_stride, target):
    config = make_config(records, hab=hab, pab=pab, last_stride=last_stride)
    b = P * K
    expected = {
        schema.IMAGE: tf.TensorSpec([b, 64, 32, 3], tf.float32),
        schema.PERSON_ID: tf.TensorSpec([b], tf.int64),
        schema.LABEL: tf.TensorSpec([b], tf.int64),
        schema.CAMERA_ID: tf.TensorSpec([b], tf.int64),
    }
    if hab:
        expected[schema.MASK] = tf.TensorSpec([b, *target, 1], tf.float32)
        expected[schema.MASK_PRESENCE] = tf.TensorSpec([b], tf.float32)
    if pab:
        expected[schema.KEYPOINTS] = tf.TensorSpec([b, *target, 17], tf.float32)
        expected[schema.KEYPOINTS_PRESENCE] = tf.TensorSpec([b], tf.float32)
    dataset = make_train_batches(config)
    assert dataset.element_spec == expected
    (batch,) = take(dataset, 1)
    assert {name: values.shape for name, values in batch.items()} == {
        name: tuple(spec.shape) for name, spec in expected.items()
    }


def test_train_batch_is_the_sampled_records_each_augmented_as_drawn(records):
    config = make_config(records)
    reader = RecordReader(records, "train")
    sampler = BatchSampler(
        reader.images_per_label, seed=1, identities_per_batch=P, images_per_identity=K
    )
    labels = np.repeat(np.arange(5), IMAGES_PER_LABEL)
    for step, batch in enumerate(take(make_train_batches(config, 20), 3), 20):
        drawn = draw_transformations(config.data, step, P * K)
        for index, position in enumerate(sampler.positions(step)):
            assert batch[schema.LABEL][index] == labels[position]
            record = make_record(position, PERSON_IDS[labels[position]])
            assert batch[schema.PERSON_ID][index] == record.person_id
            assert batch[schema.CAMERA_ID][index] == record.camera_id
            how = Transformation(*(tf.constant(values[index]) for values in drawn))
            image = augment_image(decode_image(record.encoded), how, config.data)
            np.testing.assert_allclose(batch[schema.IMAGE][index], image, atol=1e-5)
            mask, maps = np.zeros((32, 16, 1)), np.zeros((32, 16, 17))
            if record.mask:
                pixels = tf.io.decode_png(record.mask, channels=1)
                mask = augment_mask(pixels, how, config.data, (32, 16))
            if record.heatmaps:
                pixels = tf.io.decode_png(record.heatmaps, channels=1)
                pixels = tf.reshape(pixels, (17, 64, 32))
                maps = augment_keypoints(pixels, how, config.data, (32, 16))
            np.testing.assert_allclose(batch[schema.MASK][index], mask, atol=1e-6)
            np.testing.assert_allclose(batch[schema.KEYPOINTS][index], maps, atol=1e-6)
            assert batch[schema.MASK_PRESENCE][index] == float(bool(record.mask))
            assert batch[schema.KEYPOINTS_PRESENCE][index] == float(bool(record.heatmaps))


def test_keypoints_come_from_maps_else_from_coordinates_else_not_at_all(tmp_path):
    joints = np.random.RandomState(0).uniform(0.2, 0.8, (17, 3)).astype(np.float32)
    joints[3] = 0
    hidden = np.zeros((17, 3), np.float32)
    maps = make_record(1, 2).heatmaps
    for name, heatmaps, keypoints, presence in (
        ("both", maps, joints, 1),
        ("maps", maps, None, 1),
        ("coordinates", None, joints, 1),
        ("hidden", None, hidden, 1),
        ("nothing", None, None, 0),
    ):
        (tmp_path / name).mkdir()
        write_records(tmp_path / name, heatmaps=heatmaps, keypoints=keypoints)
        config = make_config(tmp_path / name)
        (batch,) = take(make_train_batches(config, 3), 1)
        np.testing.assert_array_equal(batch[schema.KEYPOINTS_PRESENCE], np.full(P * K, presence))
        drawn = draw_transformations(config.data, 3, P * K)
        for index in range(P * K):
            how = Transformation(*(tf.constant(values[index]) for values in drawn))
            if heatmaps:
                pixels = tf.reshape(tf.io.decode_png(maps, channels=1), (17, 64, 32))
                expected = augment_keypoints(pixels, how, config.data, (32, 16))
            elif name == "coordinates":
                expected = draw_keypoints(joints, how, config.data, (32, 16))
            else:
                expected = np.zeros((32, 16, 17))
            np.testing.assert_allclose(batch[schema.KEYPOINTS][index], expected, atol=1e-5)


def test_every_run_sees_the_same_batch_at_the_same_step(records):
    config = make_config(records)
    whole = take(make_train_batches(config), 12)
    for first in (1, 2, 7):
        for batch, same in zip(take(make_train_batches(config, first), 5), whole[first:]):
            assert_equal(batch, same)
    far = 10**9
    (batch,) = take(make_train_batches(config, far), 1)
    assert_equal(batch, take(make_train_batches(config, far - 1), 2)[1])
    (other,) = take(make_train_batches(config.replace(seed=2)), 1)
    assert not np.array_equal(other[schema.IMAGE], whole[0][schema.IMAGE])


@pytest.mark.parametrize("kind", ["color_jitter", "randaugment"])
def test_colours_change_in_the_image_alone_and_the_same_at_every_resume(records, kind):
    plain = take(make_train_batches(make_config(records), 5), 2)
    config = make_config(records, photometric=kind)
    batches = take(make_train_batches(config, 5), 2)
    for batch, without in zip(batches, plain):
        assert not np.array_equal(batch[schema.IMAGE], without[schema.IMAGE])
        assert_equal({**batch, schema.IMAGE: without[schema.IMAGE]}, without)
    assert_equal(take(make_train_batches(config, 6), 1)[0], batches[1])
    (other,) = take(make_train_batches(config.replace(seed=2), 5), 1)
    assert not np.array_equal(other[schema.IMAGE], batches[0][schema.IMAGE])


def test_colours_change_before_the_padding_and_the_normalisation(records):
    # A third of the rows are padding on one side: they are black whatever happened to the picture.
    config = make_config(
        records, photometric="color_jitter", padding=32, erasing_probability=0.0, flip_probability=0
    )
    (batch,) = take(make_train_batches(config), 1)
    black = -np.array(schema.IMAGE_MEAN) / schema.IMAGE_STD
    white = (1 - np.array(schema.IMAGE_MEAN)) / schema.IMAGE_STD
    tops = draw_transformations(config.data, 0, P * K).top
    assert tops.min() < 16
    for image, top in zip(batch[schema.IMAGE], tops):
        padded = image[: max(0, 32 - top)]
        np.testing.assert_allclose(padded, np.broadcast_to(black, padded.shape), atol=1e-5)
        assert (image >= black - 1e-4).all()
        assert (image <= white + 1e-4).all()


def test_what_the_model_does_not_use_is_not_decoded(tmp_path):
    write_records(tmp_path, mask=GARBAGE, heatmaps=GARBAGE)
    config = make_config(tmp_path, hab=False, pab=False)
    assert len(take(make_train_batches(config), 2)) == 2
    for branch in ("hab", "pab"):
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            take(make_train_batches(config.replace(**{branch: True})), 1)
        assert re.search("cannot be decoded .*; convert", str(user_error(raised.value)))


def test_eval_batches_are_the_split_in_record_order(records):
    config = make_config(records)
    batches = take(make_eval_batches(config, "query"), 100)
    assert [len(batch[schema.IMAGE]) for batch in batches] == [3, 3, 1]
    whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert whole.keys() == {"image", "person_id", "label", "camera_id", "filename"}
    for index in range(7):
        record = make_record(100 + index, index - 1)
        assert whole[schema.PERSON_ID][index] == record.person_id
        assert whole[schema.CAMERA_ID][index] == record.camera_id
        assert whole[schema.LABEL][index] == schema.NO_LABEL
        assert whole[schema.FILENAME][index].decode() == record.filename
        expected = preprocess_image(record.encoded, 64, 32)
        np.testing.assert_allclose(whole[schema.IMAGE][index], expected, atol=1e-5)
    (train,) = take(make_eval_batches(config.replace(eval_batch_size=50), "train"), 2)
    np.testing.assert_array_equal(train[schema.LABEL], np.repeat(np.arange(5), IMAGES_PER_LABEL))


def test_eval_batches_have_known_shapes(records):
    spec = make_eval_batches(make_config(records), "query").element_spec
    assert spec[schema.IMAGE] == tf.TensorSpec([None, 64, 32, 3], tf.float32)
    assert spec[schema.FILENAME] == tf.TensorSpec([None], tf.string)


def test_eval_batches_of_another_size(records):
    (batch,) = take(make_eval_batches(make_config(records), "query", (40, 50)), 1)
    assert batch[schema.IMAGE].shape == (3, 40, 50, 3)
    expected = preprocess_image(make_record(100, -1).encoded, 40, 50)
    np.testing.assert_allclose(batch[schema.IMAGE][0], expected, atol=1e-5)


def test_a_corrupt_record_becomes_the_readers_message(tmp_path):
    write_records(tmp_path)
    damage(tmp_path, "train")
    damage(tmp_path, "query")
    config = make_config(tmp_path)
    for dataset, shard in (
        (make_train_batches(config), "train-00000-of-00001.tfrecord"),
        (make_eval_batches(config, "query"), "query-00000-of-00001.tfrecord"),
    ):
        with pytest.raises(tf.errors.OpError) as raised:
            take(dataset, 10)
        message = str(user_error(raised.value))
        assert f"{shard}: record " in message
        assert "convert the data set again" in message
        assert "Traceback" not in message
        assert "UserError" not in message


def test_a_corrupt_record_stops_fit_with_the_readers_message(tmp_path):
    write_records(tmp_path)
    damage(tmp_path, "train")
    batches = make_train_batches(make_config(tmp_path, hab=False, pab=False))
    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    pairs = batches.map(lambda batch: (batch[schema.IMAGE], batch[schema.LABEL]))
    with pytest.raises(tf.errors.OpError) as raised:
        model.fit(pairs, steps_per_epoch=10, verbose=0)
    assert re.search(r"record \d+ is corrupt", str(user_error(raised.value)))


def test_a_damaged_image_becomes_a_message(tmp_path):
    whole = make_record(0, 2).encoded
    write_records(tmp_path, encoded=whole[: len(whole) // 2])
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        take(make_train_batches(make_config(tmp_path)), 1)
    found = user_error(raised.value)
    assert isinstance(found, UserError)
    assert re.search(
        r"cannot be decoded \([^{}\n]*Invalid JPEG data[^{}\n]*\); convert", str(found)
    )


def test_other_errors_are_not_the_users():
    assert user_error(tf.errors.InternalError(None, None, "out of luck")) is None
    assert user_error(tf.errors.UnknownError(None, None, None)) is None


def test_bad_records_are_refused_before_the_first_batch(tmp_path, records):
    with pytest.raises(UserError, match="no such folder"):
        make_train_batches(make_config(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="hold 5 identities.*needs 6"):
        make_train_batches(make_config(records, identities_per_batch=6))
    with pytest.raises(UserError, match="no split 'gallery'"):
        make_eval_batches(make_config(records), "gallery")
    write_records(tmp_path, query=0)
    with pytest.raises(UserError, match="query holds no images"):
        make_eval_batches(make_config(tmp_path), "query")


def run_program(program, *arguments):
    """Run a Python program in a process of its own and return what it printed."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_writers_of_records_do_not_pay_for_tensorflow():
    program = "import sys, daaf_tf.data.records, daaf_tf.data; print('tensorflow' in sys.modules)"
    assert run_program(program).strip() == "False"


def test_unknown_name_in_the_package():
    with pytest.raises(ImportError, match="nothing_of_this_name"):
        from daaf_tf.data import nothing_of_this_name  # noqa: F401


TWO_REPLICAS = """
import sys
import daaf_tf
import numpy as np
import tensorflow as tf
from daaf_tf.config import from_json
from daaf_tf.data import make_train_batches

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
tf.random.set_seed(1)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
config = from_json(sys.argv[1])
shared = iter(strategy.experimental_distribute_dataset(make_train_batches(config)))
for batch in make_train_batches(config).take(3):
    parts = {name: strategy.experimental_local_results(v) for name, v in next(shared).items()}
    for name, values in batch.items():
        assert len(parts[name]) == 2
        np.testing.assert_array_equal(np.concatenate(parts[name]), values)
    first, second = (set(part.numpy()) for part in parts["person_id"])
    print(len(first), len(second), len(first & second))
"""


def test_replicas_share_a_batch_by_whole_identities(records):
    from daaf_tf.config import to_json

    config = make_config(records, identities_per_batch=4)
    assert run_program(TWO_REPLICAS, to_json(config)).split("\n")[:3] == ["2 2 0"] * 3


@pytest.mark.parametrize(("workers", "pieces"), [(3, 1), (1, 3), (2, 2)])
def test_workers_and_pieces_are_contiguous_parts_of_the_whole_batch(records, workers, pieces):
    config = make_config(records, photometric="color_jitter")
    whole = take(make_train_batches(config, 5), 2)
    parts = [
        take(
            make_train_batches(config, 5, worker=worker, workers=workers, pieces=pieces),
            2 * pieces,
        )
        for worker in range(workers)
    ]
    for step, batch in enumerate(whole):
        own = slice(step * pieces, (step + 1) * pieces)
        mine = [part for elements in parts for part in elements[own]]
        assert_equal({name: np.concatenate([part[name] for part in mine]) for name in batch}, batch)


def test_a_batch_that_does_not_divide_is_refused(records):
    with pytest.raises(UserError, match="12 images cannot be cut into 5 x 1 parts"):
        make_train_batches(make_config(records), workers=5)


def test_iterating_again_starts_again_at_the_first_step(records):
    dataset = make_train_batches(make_config(records), 3)
    for batch, again in zip(take(dataset, 3), take(dataset, 3)):
        assert_equal(batch, again)
