"""Files of features: what is written is read, and what anybody may have written is refused."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import Features, FeatureSet, read_features, write_features


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def make_features(count, seed=0, width=4):
    random = np.random.default_rng(seed)
    return Features(
        random.normal(size=(count, width)).astype(np.float32),
        np.arange(count),
        np.arange(count) - 1,
        np.array([f"{i:04d}_c1.jpg" for i in range(count)]),
    )


def make_arrays():
    arrays = {}
    for split, count in (("query", 3), ("gallery", 5)):
        features = make_features(count)
        arrays[f"{split}_features"] = features.features
        arrays[f"{split}_ids"] = features.person_ids
        arrays[f"{split}_cameras"] = features.camera_ids
    return arrays


def write(path, arrays):
    np.savez(path, **arrays)
    return path


def test_what_is_written_is_read(tmp_path):
    splits = {
        name: make_features(n) for name, n in (("query", 3), ("gallery", 5), ("multi_query", 2))
    }
    # A file name of bytes that are no UTF-8.
    splits["query"].filenames[0] = os.fsdecode(b"\xff.jpg")
    content = FeatureSet(splits, metric="cosine", model="M, step 4", data="R", tta="flip")
    path = tmp_path / "F.npz"
    write_features(path, content)
    found = read_features(path)
    assert (found.metric, found.model, found.data, found.tta) == (
        "cosine",
        "M, step 4",
        "R",
        "flip",
    )
    assert list(found.splits) == list(splits)
    for split, features in splits.items():
        for name, values in vars(features).items():
            np.testing.assert_array_equal(getattr(found.splits[split], name), values)
        assert found.splits[split].features.dtype == np.float32
    assert os.listdir(tmp_path) == ["F.npz"]


def test_names_and_facts_may_be_missing(tmp_path):
    found = read_features(write(tmp_path / "F.npz", make_arrays()))
    assert found.metric == found.model == found.data == found.tta == ""
    assert found.splits["gallery"].filenames.tolist() == [""] * 5
    assert "multi_query" not in found.splits


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "F.npz"
    path.mkdir()
    with pytest.raises(UserError, match=r"F\.npz cannot be written"):
        write_features(path, FeatureSet({"query": make_features(1)}))
    assert os.listdir(tmp_path) == ["F.npz"]


BAD = {
    "missing": ({"gallery_ids": None}, "no array gallery_ids"),
    "short ids": ({"query_ids": np.arange(2)}, "query_ids: expected 3 whole numbers"),
    "long cameras": ({"gallery_cameras": np.arange(6)}, "gallery_cameras: expected 5 whole"),
    "floats as ids": ({"query_ids": np.zeros(3)}, "query_ids: expected 3 whole numbers"),
    "one row": ({"query_features": np.zeros(4)}, "query_features: expected numbers of shape"),
    "no rows": ({"gallery_features": np.zeros((0, 4))}, "gallery_features: expected numbers"),
    "texts": ({"query_features": np.full((3, 4), "a")}, "query_features: expected numbers"),
    "NaN": (
        {"query_features": np.array([[0.0] * 4, [np.nan] * 4, [1.0] * 4])},
        "query_features: row 1 holds NaN",
    ),
    "widths": ({"query_features": np.ones((3, 2))}, "query_features are 2, gallery_features are 4"),
    "names": ({"query_filenames": np.arange(3)}, "query_filenames: expected 3 texts"),
    "few names": ({"query_filenames": np.array(["a"])}, "query_filenames: expected 3 texts"),
    "metric": ({"metric": np.array("manhattan")}, "metric 'manhattan', expected euclidean or"),
    "two metrics": ({"metric": np.array(["cosine", "cosine"])}, "metric: expected one text"),
    "half of a split": ({"multi_query_ids": np.arange(3)}, "no array multi_query_features"),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_do_not_belong_are_named(tmp_path, case):
    changes, message = BAD[case]
    arrays = {**make_arrays(), **changes}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(UserError) as raised:
        read_features(write(tmp_path / "F.npz", arrays))
    assert message in str(raised.value)
    assert "F.npz" in str(raised.value)


@pytest.mark.parametrize("name", ["query_features", "gallery_filenames", "metric"])
def test_objects_are_never_unpickled(tmp_path, name):
    trace = tmp_path / "trace"
    arrays = {**make_arrays(), name: np.array([Trap(trace)] * 3, dtype=object)}
    path = write(tmp_path / "F.npz", arrays)
    with pytest.raises(UserError, match=rf"F\.npz: {name}: an array of Python objects"):
        read_features(path)
    assert not trace.exists()


def test_a_pickle_is_never_unpickled(tmp_path):
    path, trace = tmp_path / "F.npz", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Trap(trace)))
    with pytest.raises(UserError, match="no archive"):
        read_features(path)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_that_is_cut_off(tmp_path, share):
    whole = write(tmp_path / "whole.npz", make_arrays()).read_bytes()
    path = tmp_path / "F.npz"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"F\.npz: .*(cut off|no archive)"):
        read_features(path)


def test_flipped_bytes_are_noticed_or_change_nothing(tmp_path):
    whole = write(tmp_path / "whole.npz", make_arrays()).read_bytes()
    path, random = tmp_path / "F.npz", np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_features(path)
        except UserError:
            refused += 1
        else:  # a byte that nobody looks at, such as a time
            np.testing.assert_array_equal(
                found.splits["query"].features, make_arrays()["query_features"]
            )
    assert refused > 75


@pytest.mark.parametrize("seed", range(4))
def test_an_archive_that_was_made_to_look_whole(tmp_path, seed):
    """Checksums fit, since whoever changed an array's header wrote the archive anew."""
    path, random = tmp_path / "F.npz", np.random.default_rng(seed)
    with zipfile.ZipFile(write(tmp_path / "whole.npz", make_arrays())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    refused = []
    for _ in range(50):
        changed = bytearray(members["query_ids.npy"])
        changed[random.integers(70)] = random.integers(32, 127)
        if seed == 0:  # numbers for which there is no room
            changed = members["query_ids.npy"].replace(b"(3,)", b"(3%s,)" % (b"9" * 18))
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, "query_ids.npy": bytes(changed)}.items():
                archive.writestr(name, content)
        try:
            read_features(path)
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 25
    assert all("F.npz: query_ids: " in message for message in refused)


def test_other_files(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((2, 2)))
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("query_features", "no array")
    (tmp_path / "text.npz").write_text("mAP 61.2")
    for name, message in (
        ("one.npy", "one array by itself"),
        ("texts.zip", "query_features: no array"),
        ("text.npz", "no archive"),
        ("nowhere.npz", "No such file"),
        ("", "Is a directory"),
    ):
        with pytest.raises(UserError, match=message):
            read_features(tmp_path / name)
