"""Clients that ask at once: who asks what, what is counted, and whose error comes out."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from daaf_tf.clients.load import Load, measure_load
from daaf_tf.errors import UserError

IMAGES = [b"a", b"b", b"c"]


class CountingClient:
    """Notes what each thread sends; fails at a number of requests."""

    def __init__(self, fail_at=0):
        self.sent, self.fail_at = {}, fail_at
        self.at_once, self.most_at_once = 0, 0
        self._lock = threading.Lock()

    def embed(self, images):
        with self._lock:
            self.sent.setdefault(threading.get_ident(), []).extend(images)
            if sum(map(len, self.sent.values())) == self.fail_at:
                raise UserError("the server has gone")
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        threading.Event().wait(0.005)
        with self._lock:
            self.at_once -= 1
        return np.zeros((len(images), 2), np.float32)


@pytest.mark.parametrize("clients", [1, 3])
def test_every_client_asks_in_turn(clients):
    client = CountingClient()
    load = measure_load(client, IMAGES, clients, 0.1)
    assert len(client.sent) == client.most_at_once == clients
    for sent in client.sent.values():
        start = IMAGES.index(sent[0])
        assert sent == [IMAGES[(start + number) % 3] for number in range(len(sent))]
    # The first request of each is not counted.
    assert len(load.latencies) == sum(map(len, client.sent.values())) - clients
    assert load.latencies.min() >= 0.005
    assert load.seconds >= 0.1


@pytest.mark.parametrize("fail_at", [1, 2, 9])
def test_an_error_comes_out_and_nobody_hangs(fail_at):
    with pytest.raises(UserError, match="the server has gone"):
        measure_load(CountingClient(fail_at), IMAGES, 3, 0.1)


def test_figures():
    load = Load(2.0, np.array([0.1] * 90 + [0.2] * 8 + [1.0] * 2))
    assert load.requests_per_second == 50
    assert [load.latency(share) for share in (0.5, 0.95, 0.99)] == [0.1, 0.2, 1.0]
