"""The REST client against a server that says what the test tells it to say."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading

import numpy as np
import pytest

from daaf_tf.clients import RefusedError, RestClient
from daaf_tf.errors import UserError

SECONDS = 60


@contextlib.contextmanager
def answering(status, body, delay=0.0):
    """Answer every POST in one way; yield the address and the list of what came."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(content)))
            threading.Event().wait(delay)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", received
        server.shutdown()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.parametrize(
    "predictions", [[[1, 2.5], [3, 4]], [{"embedding": [1, 2.5], "mask": 0}, {"embedding": [3, 4]}]]
)
def test_what_is_sent_and_read(predictions):
    with answering(200, json.dumps({"predictions": predictions}).encode()) as (server, received):
        embeddings = RestClient(server, "people", version=3, timeout=SECONDS).embed([b"\xff", b""])
    np.testing.assert_array_equal(embeddings, np.float32([[1, 2.5], [3, 4]]))
    assert embeddings.dtype == np.float32
    request = {"signature_name": "encoded", "instances": [{"b64": "/w=="}, {"b64": ""}]}
    assert received == [("/v1/models/people/versions/3:predict", request)]


def test_a_name_may_have_any_letters():
    with answering(200, b'{"predictions": [[1]]}') as (server, received):
        RestClient(server, "my people/1", timeout=SECONDS).embed([b"x"])
    assert [path for path, _ in received] == ["/v1/models/my%20people%2F1:predict"]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, RefusedError, r"refuses the request \(HTTP 400\): its words"),
        (413, RefusedError, "HTTP 413.*its words"),
        (404, UserError, "does not serve the model 'people'; it says: its words. Name the model"),
        (503, UserError, r"refuses the request \(HTTP 503\): its words"),
    ],
)
def test_the_servers_words_are_quoted(status, kind, message):
    with answering(status, b'{"error": "its words"}') as (server, _):
        client = RestClient(server, "people", timeout=SECONDS)
        with pytest.raises(kind, match=message) as caught:
            client.embed([b"x"])
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"predictions": 3}', b'{"predictions": [["a"]]}']
    + [b'{"predictions": [[1], [2]]}', b'{"predictions": [{"mask": 1}]}', b'{"predictions": [1]}']
    + [b'{"predictions": [[1, 2], [3]]}'],
)
def test_an_answer_that_is_none(body):
    with answering(200, body) as (server, _):
        client = RestClient(server, "people", timeout=SECONDS)
        with pytest.raises(UserError, match="expected one 'embedding' for each image"):
            client.embed([b"x"])


def test_an_error_that_is_not_json_is_quoted():
    with answering(502, b"<html>gateway</html>") as (server, _):
        client = RestClient(server, "people", timeout=SECONDS)
        with pytest.raises(UserError, match="HTTP 502.*<html>gateway"):
            client.embed([b"x"])


def test_no_server():
    with pytest.raises(UserError, match="no server answers there .*refused.*docs/serving.md"):
        RestClient(f"127.0.0.1:{free_port()}", "people", timeout=SECONDS).embed([b"x"])


def test_a_silent_server():
    with answering(200, b"{}", delay=2) as (server, _):
        client = RestClient(server, "people", timeout=0.2)
        with pytest.raises(UserError, match=r"no answer within 0.2 s; raise --timeout"):
            client.embed([b"x"])


def test_a_server_that_speaks_something_else():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        client = RestClient(f"127.0.0.1:{listener.getsockname()[1]}", "people", timeout=SECONDS)
        with pytest.raises(UserError, match="the connection broke.*REST port"):
            client.embed([b"x"])
        thread.join(SECONDS)


@pytest.mark.parametrize(
    "server", ["ftp://127.0.0.1:1", "grpc://h:8500", "h:port", "", "two words:80", "h:99999"]
)
def test_what_is_no_address(server):
    with pytest.raises(UserError, match=f"--server={server}: expected host:port or http"):
        RestClient(server, "people")
