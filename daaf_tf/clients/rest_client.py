"""Embed images over TensorFlow Serving's REST protocol, with Python's own modules and numpy."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from daaf_tf.clients import refusals
from daaf_tf.errors import UserError


class RestClient:
    """One model on a server that speaks REST. May be used by several threads at once."""

    def __init__(self, server: str, model: str, *, version: int = 0, timeout: float = 60.0):
        """Remember where the model is; nothing is sent.

        Args:
          server: `host:port`, or a URL with `http://` or `https://`.
          model: its name on the server.
          version: of the model; 0: the newest.
          timeout: seconds to wait for an answer.

        Raises:
          UserError: `server` is no such address.
        """
        self.server, self.model, self.timeout = _make_url(server), model, timeout
        at_version = f"/versions/{version}" if version else ""
        self._url = f"{self.server}/v1/models/{quote(model, safe='')}{at_version}:predict"

    def embed(self, images: Sequence[bytes]) -> np.ndarray:
        """Return one embedding for each image in one request.

        Args:
          images: JPEG, PNG or one-frame GIF files; at least one.

        Returns:
          [N, D] float32 in the order of the images.

        Raises:
          RefusedError: the server refuses the images; its message is quoted.
          UserError: no server, no such model, no answer in time, or no embedding in the answer.
        """
        instances = [{"b64": base64.b64encode(image).decode("ascii")} for image in images]
        request = {"signature_name": refusals.SIGNATURE, "instances": instances}
        answer = self._post(json.dumps(request).encode("ascii"))
        return self._parse_embeddings(answer, len(images))

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self._url, body, headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read()) from None
        except socket.timeout as error:
            raise refusals.silent(self.server, self.timeout) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, socket.timeout):
                raise refusals.silent(self.server, self.timeout) from error
            raise refusals.absent(self.server, error.reason) from error
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                f"{self.server}: the connection broke ({error or type(error).__name__}); is it a "
                "REST port, and is the request not too large? Lower --batch_size"
            ) from error

    def _refusal(self, code: int, answer: bytes) -> UserError:
        said = _parse_error(answer)
        if code == http.client.NOT_FOUND:
            return refusals.unknown_model(self.server, self.model, said)
        refused = code in (http.client.BAD_REQUEST, http.client.REQUEST_ENTITY_TOO_LARGE)
        kind = refusals.RefusedError if refused else UserError
        return kind(f"{self.server} refuses the request (HTTP {code}): {said}")

    def _parse_embeddings(self, answer: bytes, count: int) -> np.ndarray:
        try:
            embeddings = np.asarray(_list_predictions(json.loads(answer)), np.float32)
        except (ValueError, KeyError, TypeError) as error:
            found = f"{answer[:100]!r} ({type(error).__name__})"
            raise refusals.no_embedding(self.server, found) from error
        if embeddings.ndim != 2 or len(embeddings) != count:
            raise refusals.no_embedding(self.server, f"{list(embeddings.shape)} for {count} images")
        return embeddings


def _make_url(server: str) -> str:
    url = server if "://" in server else f"http://{server}"
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", url):
        raise UserError(f"--server={server}: expected host:port or http(s)://host:port")
    return url.rstrip("/")


def _list_predictions(answer: Any) -> list:
    """Return the rows of an answer; a model with several outputs names them in each row."""
    rows = answer["predictions"]
    return [row[refusals.OUTPUT] if isinstance(row, dict) else row for row in rows]


def _parse_error(answer: bytes) -> str:
    """Return what the server says, from {"error": ...} or whatever else it sent."""
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode("utf-8", "replace").strip() or "nothing"
