"""Files to a client and embeddings to a file: order, batches, and which image was refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from daaf_tf.clients import RefusedError
from daaf_tf.clients.embedding import list_images, run_client
from daaf_tf.errors import UserError


class LengthClient:
    """Embeds an image as its length; refuses what is empty, and more than four at once."""

    def __init__(self):
        self.requests = []

    def embed(self, images):
        self.requests.append(len(images))
        if len(images) > 4:
            raise RefusedError("too many")
        if b"" in images:
            raise RefusedError("no image there")
        return np.float32([[len(image), 0.5] for image in images])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    for number, name in enumerate(("b.jpg", "a.png", "inner/c.JPEG", "d.gif", "e.txt"), 1):
        (tmp_path / name).write_bytes(b"x" * number)
    return tmp_path


def test_files_and_folders_are_listed_in_order(folder):
    names = [str(path.relative_to(folder)) for path in list_images(str(folder))]
    assert names == ["a.png", "b.jpg", "d.gif", "inner/c.JPEG"]
    # What is named itself is taken, whatever its ending.
    text = f"{folder / 'e.txt'}, {folder / 'inner'},"
    assert [path.name for path in list_images(text)] == ["e.txt", "c.JPEG"]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_a_file_of_embeddings(folder, batch_size):
    output = folder / "out.npz"
    client = LengthClient()
    run_client(client, images=str(folder), batch_size=batch_size, output=str(output))
    with np.load(output) as written:
        names = [path.rpartition("/")[2] for path in written["paths"]]
        embeddings = written["embeddings"]
    assert names == ["a.png", "b.jpg", "d.gif", "c.JPEG"]
    np.testing.assert_array_equal(embeddings, np.float32([[2, 0.5], [1, 0.5], [4, 0.5], [3, 0.5]]))
    assert sum(client.requests) == 4
    assert max(client.requests) == batch_size


def test_lines_of_json(folder, capsys):
    run_client(LengthClient(), images=str(folder / "a.png"), batch_size=2, output="")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"path": str(folder / "a.png"), "embedding": [2, 0.5]}


def test_the_image_that_is_refused_is_named(folder):
    (folder / "c.jpg").write_bytes(b"")
    output = folder / "out.npz"
    with pytest.raises(UserError, match=r"c\.jpg: no image there"):
        run_client(LengthClient(), images=str(folder), batch_size=4, output=str(output))
    assert not output.exists()


def test_a_batch_that_is_too_large_as_a_whole(folder):
    (folder / "c.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="^too many$"):
        run_client(LengthClient(), images=str(folder), batch_size=5, output="")


def test_a_wrong_command(folder):
    good = {"images": str(folder), "batch_size": 1, "output": ""}
    for wrong, message in (
        ({"output": "e.csv"}, "--output=e.csv: expected a name that ends in .npz"),
        ({"images": f"{folder}/none.jpg"}, "found no .*none.jpg"),
        ({"images": ","}, "expected image files"),
        ({"output": f"{folder}/no/such/e.npz"}, "cannot be written"),
    ):
        with pytest.raises(UserError, match=message):
            run_client(LengthClient(), **{**good, **wrong})
