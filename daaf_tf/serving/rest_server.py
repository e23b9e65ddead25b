"""A small HTTP server that speaks TensorFlow Serving's REST protocol over one SavedModel."""

from __future__ import annotations

import http.server
import json
import logging
import re
import urllib.parse
from typing import Any

from daaf_tf.serving.rest_protocol import (
    RequestError,
    format_predictions,
    parse_predict_request,
)
from daaf_tf.serving.served_model import ServedModel

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,18}))?(?P<verb>:predict|/metadata)?",
    re.IGNORECASE,
)
_PIECE = 1 << 20  # bytes read at a time from a request that is thrown away


class RestServer(http.server.ThreadingHTTPServer):
    """Answers `GET` of status and metadata and `POST` of `:predict`, a thread for each connection.

    Every answer is JSON. A request that cannot be answered gets {"error": ...} with status 400
    (malformed, or refused by the model), 404 (another model or version), 411 or 413 (no length, or
    too long) or 503 (too many wait); the server goes on.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], model: ServedModel, max_request_bytes: int):
        """Bind to an address; `serve_forever` answers.

        Args:
          address: host and port; port 0: any that is free, see `server_address`.
          model: what is served.
          max_request_bytes: longer bodies are refused.

        Raises:
          OSError: the address cannot be had.
        """
        super().__init__(address, _Handler)
        self.model, self.max_request_bytes = model, max_request_bytes


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    timeout = 60  # seconds without a byte, after which a connection is closed
    wbufsize = -1  # headers and body leave together: apart, the second would wait for the first
    server: RestServer

    def do_GET(self) -> None:  # noqa: N802 (the name is Python's)
        self._answer("GET")

    def do_POST(self) -> None:  # noqa: N802
        self._answer("POST")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no HTTP request, or another method, as we refuse everything."""
        self.close_connection = True
        self._send(code, _to_json({"error": message or f"Malformed request: {self.requestline}"}))

    def log_message(self, *_: Any) -> None:
        """Stay silent: a line for each request helps nobody."""

    def _answer(self, method: str) -> None:
        try:
            body = self._read_body() if method == "POST" else b""
            status, answer = 200, self._compute_answer(method, body)
        except RequestError as error:
            status, answer = error.status, _to_json({"error": str(error)})
        except OSError:
            # The client has gone, or was silent for too long.
            self.close_connection = True
            return
        except Exception:
            logging.exception("%s %s", method, self.path)
            status, answer = 500, _to_json({"error": "Internal: see the server's log"})
        self._send(status, answer)

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,18}", length, re.ASCII):
            self.close_connection = True
            raise RequestError("expected a request with Content-Length", status=411)
        most = self.server.max_request_bytes
        if int(length) > most:
            self.close_connection = True
            self._throw_away(min(int(length), 16 * most))
            raise RequestError(f"expected at most {most} bytes, received {length}", status=413)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        return body

    def _throw_away(self, length: int) -> None:
        """Read on, up to a point: a client that is still sending would not see the answer."""
        while length > 0 and (piece := self.rfile.read(min(_PIECE, length))):
            length -= len(piece)

    def _compute_answer(self, method: str, body: bytes) -> bytes:
        model = self.server.model
        found = _PATH.fullmatch(self.path.partition("?")[0])
        verb = (found["verb"] or "").lower() if found else ""
        if not found or (method == "POST") != (verb == ":predict"):
            raise RequestError(f"Malformed request: {method} {self.path}")
        _check_served(model, urllib.parse.unquote(found["name"]), found["version"], verb)
        if verb == "/metadata":
            return _to_json(model.metadata)
        if verb == ":predict":
            request = parse_predict_request(body, model.inputs)
            outputs = model.predict(request.signature, request.inputs)
            return format_predictions(outputs, by_row=request.by_row)
        status = {"error_code": "OK", "error_message": ""}
        version = {"version": str(model.version), "state": "AVAILABLE", "status": status}
        return _to_json({"model_version_status": [version]})

    def _send(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True


def _check_served(model: ServedModel, name: str, version: str | None, verb: str) -> None:
    if name == model.name and int(version or model.version) == model.version:
        return
    if verb == ":predict":
        wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
        raise RequestError(f"Servable not found for request: {wanted}", status=404)
    at_version = f" version {version}" if version else ""
    raise RequestError(f"Could not find any versions of model {name}{at_version}", status=404)


def _to_json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode("ascii")
