"""What the client programs do: image files to a server, embeddings to a file or the screen."""

from __future__ import annotations

import io
import itertools
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np
import tqdm

from daaf_tf.clients.grpc_client import GrpcClient
from daaf_tf.clients.refusals import RefusedError
from daaf_tf.clients.rest_client import RestClient
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif")


def run_client(
    client: RestClient | GrpcClient, *, images: str, batch_size: int, output: str
) -> None:
    """Embed image files on a server, with progress; write them whole, or print them as they come.

    Args:
      client: says where the server is.
      images: files and folders, comma-separated.
      batch_size: images in a request; 1 or more.
      output: an .npz file for `paths` [N] and `embeddings` [N, D]; empty: a line of JSON for each
        image on the screen.

    Raises:
      UserError: see `embed_files`; or an output that cannot be written.
    """
    if output and pathlib.Path(output).suffix != ".npz":
        raise UserError(f"--output={output}: expected a name that ends in .npz")
    paths = list_images(images)
    batches = embed_files(client, paths, batch_size)
    with tqdm.tqdm(total=len(paths), unit=" images", disable=None) as bar:
        if output:
            write_embeddings(_counted(batches, bar), output)
        else:
            print_embeddings(_counted(batches, bar), sys.stdout)


def list_images(text: str) -> list[pathlib.Path]:
    """Return the image files that a comma-separated list of files and folders names, in order.

    Raises:
      UserError: a name that is not there, or no image at all.
    """
    paths = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        path = pathlib.Path(word)
        if not path.exists():
            raise UserError(f"--images={text}: expected image files or folders, found no {word}")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        paths += [one for one in inside if one == path or one.suffix.lower() in _EXTENSIONS]
    if not paths:
        raise UserError(f"--images={text}: expected image files ({', '.join(_EXTENSIONS)})")
    return paths


def embed_files(
    client: RestClient | GrpcClient, paths: Sequence[pathlib.Path], batch_size: int
) -> Iterator[tuple[list[pathlib.Path], np.ndarray]]:
    """Yield the paths and embeddings [n, D] of batch after batch.

    Raises:
      UserError: a file that cannot be read or that the server refuses, by its path; or no server.
    """
    waiting = iter(paths)
    while batch := list(itertools.islice(waiting, batch_size)):
        yield batch, _embed_batch(client, batch)


def write_embeddings(batches: Iterable[tuple[list[pathlib.Path], np.ndarray]], output: str) -> None:
    """Write all batches to an .npz file, `paths` [N] and `embeddings` [N, D], whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    paths, parts = [], []
    for batch, embeddings in batches:
        paths += map(str, batch)
        parts.append(embeddings)
    content = io.BytesIO()
    np.savez(content, paths=np.array(paths), embeddings=np.concatenate(parts))
    try:
        write_atomically(output, content.getvalue())
    except OSError as error:
        raise UserError(f"--output={output}: cannot be written ({error.strerror})") from error


def print_embeddings(
    batches: Iterable[tuple[list[pathlib.Path], np.ndarray]], file: TextIO
) -> None:
    """Print a line of JSON for each image, with `path` and `embedding`."""
    for batch, embeddings in batches:
        for path, embedding in zip(batch, embeddings):
            line = json.dumps({"path": str(path), "embedding": embedding.tolist()})
            print(line, file=file, flush=True)


def _embed_batch(client: RestClient | GrpcClient, batch: list[pathlib.Path]) -> np.ndarray:
    images = [_read(path) for path in batch]
    try:
        return client.embed(images)
    except RefusedError as error:
        if len(batch) == 1:
            raise UserError(f"{batch[0]}: {error}") from error
        # The server does not say which image it was; one by one, it shows. If none is refused
        # alone, it was their number or size.
        for path in batch:
            _embed_batch(client, [path])
        raise


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _counted(
    batches: Iterable[tuple[list[pathlib.Path], np.ndarray]], bar: tqdm.tqdm
) -> Iterator[tuple[list[pathlib.Path], np.ndarray]]:
    for batch, embeddings in batches:
        yield batch, embeddings
        bar.update(len(batch))
