"""The REST server over a real SavedModel: right answers, and wrong requests that it survives."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from daaf_tf.clients import RefusedError, RestClient
from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.serving import load, write_saved_model
from daaf_tf.serving.batching import Batching
from daaf_tf.serving.rest_server import RestServer
from daaf_tf.serving.served_model import ServedModel

CONFIG = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=8,
    head_units=16,
    embedding_size=8,
    hab=False,
    pab=False,
)
SECONDS = 60
MOST_BYTES = 1 << 20


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    tf.keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("exported")
    write_saved_model(embedding_model(build_daaf(CONFIG)), CONFIG, folder)
    return load(folder)


@contextlib.contextmanager
def serving(embedder, batching):
    model = ServedModel(embedder, "daaf", batching)
    with RestServer(("127.0.0.1", 0), model, MOST_BYTES) as server, contextlib.closing(model):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(SECONDS)


@pytest.fixture(scope="module", params=[True, False], ids=["batching", "one by one"])
def server(request, embedder):
    with serving(embedder, Batching(max_batch_size=8) if request.param else None) as started:
        yield started


@pytest.fixture(scope="module")
def files():
    generator = np.random.default_rng(3)
    return [encode(generator.integers(0, 256, (40, 20, 3)), "JPEG") for _ in range(12)]


def encode(pixels, kind, mode="RGB"):
    content = io.BytesIO()
    Image.fromarray(np.uint8(pixels)).convert(mode).save(content, kind)
    return content.getvalue()


def ask(server, method, path, body=None, headers=()):
    """Send one request; return status and answer."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(response.read())


def predict(server, document, model="daaf"):
    return ask(server, "POST", f"/v1/models/{model}:predict", json.dumps(document))


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def address(server):
    host, port = server.server_address
    return f"{host}:{port}"


def assert_serves(server, embedder, files):
    received = RestClient(address(server), "daaf", timeout=SECONDS).embed(files[:1])
    np.testing.assert_allclose(received, embedder.embed(files[:1]), atol=1e-5)


def test_the_client_gets_the_embeddings(server, embedder, files):
    client = RestClient(f"http://{address(server)}/", "daaf", version=1, timeout=SECONDS)
    received = client.embed(files[:8])
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, embedder.embed(files[:8]), atol=1e-5)


def test_pixels_and_columns(server, embedder):
    pixels = np.random.default_rng(4).integers(0, 256, (2, 9, 5, 3)).astype(np.uint8)
    expected = embedder.embed(pixels)
    for key, answer in (("instances", "predictions"), ("inputs", "outputs")):
        status, received = predict(server, {key: pixels.tolist()})
        assert status == 200
        np.testing.assert_allclose(received[answer], expected, atol=1e-5)


def test_status_and_metadata(server):
    for path in ("/v1/models/daaf", "/v1/models/daaf/versions/1"):
        status, answer = ask(server, "GET", path)
        assert status == 200
        (version,) = answer["model_version_status"]
        assert (version["version"], version["state"]) == ("1", "AVAILABLE")
    status, answer = ask(server, "GET", "/v1/models/daaf/metadata")
    assert answer["model_spec"] == {"name": "daaf", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["encoded"]["inputs"]["encoded"]["dtype"] == "DT_STRING"
    sizes = signatures["serving_default"]["inputs"]["images"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in sizes] == ["-1", "-1", "-1", "3"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/daaf/versions/7", 404, "versions of model daaf version 7"),
        ("POST", "/v1/models/other:predict", 404, r"Servable not found for request: Latest\(other"),
        ("POST", "/v1/models/daaf/versions/2:predict", 404, r"request: Specific\(daaf, 2\)"),
        ("POST", "/v1/models/daaf:classify", 400, "Malformed request: POST /v1/models/daaf:class"),
        ("POST", "/v1/models/daaf", 400, "Malformed request"),
        ("GET", "/v1/models/daaf:predict", 400, "Malformed request: GET"),
        ("GET", "/v1/models/daaf/versions/x", 400, "Malformed request: GET"),
        ("GET", "/", 400, "Malformed request: GET /"),
        ("PUT", "/v1/models/daaf:predict", 501, "Unsupported method"),
    ],
)
def test_wrong_addresses(server, method, path, status, message):
    received, answer = ask(server, method, path, b"{}")
    assert received == status
    assert list(answer) == ["error"]
    pytest.raises(RuntimeError, _raise, answer["error"]).match(message)


def _raise(message):
    raise RuntimeError(message)


BAD_IMAGES = {
    "no image": b"this is a text",
    "empty": b"",
    "truncated": encode(np.full((40, 20, 3), 90), "JPEG")[:200],
    "truncated png": encode(np.full((40, 20, 3), 90), "PNG")[:60],
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_the_error_of_its_request(server, embedder, files, name):
    client = RestClient(address(server), "daaf", timeout=SECONDS)
    with pytest.raises(RefusedError, match=r"refuses the request \(HTTP 400\): \S"):
        client.embed([files[0], BAD_IMAGES[name]])
    assert_serves(server, embedder, files)


def test_mutated_images_are_answered(server, embedder, files):
    generator = np.random.default_rng(6)
    client = RestClient(address(server), "daaf", timeout=SECONDS)
    refused = 0
    for number in range(200):
        mutated = bytearray(files[number % len(files)][: generator.integers(1, 2000)])
        for place in generator.integers(0, len(mutated), 5):
            mutated[place] = generator.integers(256)
        try:
            assert np.isfinite(client.embed([bytes(mutated)])).all()
        except RefusedError:
            refused += 1
    assert 0 < refused <= 200
    assert_serves(server, embedder, files)


def test_odd_images_are_served(server, embedder):
    pixels = np.full((40, 20, 3), 90)
    odd = [encode(pixels, "JPEG", "CMYK"), encode(pixels[:1, :1], "JPEG"), encode(pixels, "GIF")]
    received = RestClient(address(server), "daaf", timeout=SECONDS).embed(odd)
    assert received.shape == (3, 8)
    assert np.isfinite(received).all()


@pytest.mark.parametrize(
    "document",
    [
        {"signature_name": "encoded", "instances": [[1, 2]]},
        {"signature_name": "encoded", "instances": []},
        {"instances": [[[[0, 0, 0, 0]]]]},
        {"instances": [[[]]]},
        {"instances": [[[[0, 0, 300]]]]},
        {"signature_name": "regress", "instances": [1]},
        [1, 2],
    ],
)
def test_a_request_in_a_wrong_shape_is_refused(server, embedder, files, document):
    status, answer = predict(server, document)
    assert (status, list(answer)) == (400, ["error"])
    assert_serves(server, embedder, files)


def test_too_many_images_are_refused_where_there_are_batches(embedder, files):
    with serving(embedder, Batching(max_batch_size=3)) as server:
        with pytest.raises(RefusedError, match="Task size 4 is larger than maximum batch size 3"):
            RestClient(address(server), "daaf", timeout=SECONDS).embed(files[:4])
        assert_serves(server, embedder, files)


def test_a_request_that_is_too_large(server, embedder, files):
    with pytest.raises(RefusedError, match=rf"HTTP 413.*at most {MOST_BYTES} bytes"):
        RestClient(address(server), "daaf", timeout=SECONDS).embed([bytes(5 * MOST_BYTES)])
    assert_serves(server, embedder, files)


@pytest.mark.parametrize("length", [None, "x", "-1", "9" * 30])
def test_a_request_without_a_length(server, embedder, files, length):
    lines = ["POST /v1/models/daaf:predict HTTP/1.1", "Host: here"]
    lines += [f"Content-Length: {length}"] if length else []
    received = send_raw(server, "\r\n".join([*lines, "", "{}"]).encode())
    assert b" 411 " in received.splitlines()[0]
    assert b"Content-Length" in received
    assert_serves(server, embedder, files)


def send_raw(server, content):
    with socket.create_connection(server.server_address, timeout=SECONDS) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe no http at all\r\n\r\n",
        b"GET /v1/models/daaf HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v1/models/daaf:predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "bytes", "version", "long", "cut off"],
)
def test_what_is_no_request(server, embedder, files, content):
    received = send_raw(server, content)
    assert not received or b'{"error": ' in received or b'"error": ' in received
    assert_serves(server, embedder, files)


def test_a_connection_stays_open(server, files):
    connection = http.client.HTTPConnection(*server.server_address, timeout=SECONDS)
    body = json.dumps({"signature_name": "encoded", "instances": [b64(files[0])]})
    with contextlib.closing(connection):
        for _ in range(3):
            connection.request("POST", "/v1/models/daaf:predict", body)
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            assert connection.sock is not None


def test_many_clients_at_once_get_their_own(server, embedder, files):
    expected = embedder.embed(files)
    client = RestClient(address(server), "daaf", timeout=SECONDS)

    def embed(place):
        if place % 4 == 3:
            with pytest.raises(RefusedError):
                client.embed([b"no image"])
            return expected[place % len(files)]
        return client.embed([files[place % len(files)]])[0]

    with ThreadPoolExecutor(8) as pool:
        received = list(pool.map(embed, range(40)))
    for place, embedding in enumerate(received):
        np.testing.assert_allclose(embedding, expected[place % len(files)], atol=1e-5)


def test_a_bug_of_ours_is_an_answer_too(embedder, files, monkeypatch, caplog):
    with serving(embedder, None) as server:
        monkeypatch.setattr(server.model, "predict", lambda *_: 1 / 0)
        with pytest.raises(UserError, match="HTTP 500.*see the server's log"):
            RestClient(address(server), "daaf", timeout=SECONDS).embed(files[:1])
        assert "ZeroDivisionError" in caplog.text
        monkeypatch.undo()
        assert_serves(server, embedder, files)
