"""Many clients at once, and how long each of their requests takes."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from daaf_tf.clients.grpc_client import GrpcClient
from daaf_tf.clients.rest_client import RestClient


@dataclasses.dataclass(frozen=True)
class Load:
    """What clients have measured.

    Attributes:
      seconds: from the first request's start to the last one's end.
      latencies: [N] seconds, of each request.
    """

    seconds: float
    latencies: np.ndarray

    @property
    def requests_per_second(self) -> float:
        """Requests answered, over the time."""
        return len(self.latencies) / self.seconds

    def latency(self, share: float) -> float:
        """Return the seconds within which this share of the requests was answered."""
        return float(np.quantile(self.latencies, share))


def measure_load(
    client: RestClient | GrpcClient, images: Sequence[bytes], clients: int, seconds: float
) -> Load:
    """Let clients ask for some time, each for one image after the other.

    Every client sends one request before the time begins, so that nothing is measured that is done
    once.

    Args:
      client: used by all threads.
      images: JPEG or PNG files, which they take turns with.
      clients: threads; 1 or more.
      seconds: after which nobody begins another request.

    Raises:
      UserError: a request fails.
    """
    ready = threading.Barrier(clients)

    def ask(number: int) -> list[tuple[float, float]]:
        turns = itertools.cycle(images[number % len(images) :] + images[: number % len(images)])
        try:
            client.embed([next(turns)])
        except BaseException:
            ready.abort()
            raise
        ready.wait()
        spans, end = [], time.monotonic() + seconds
        while not spans or spans[-1][1] < end:
            start = time.monotonic()
            client.embed([next(turns)])
            spans.append((start, time.monotonic()))
        return spans

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(ask, number) for number in range(clients)]
        results = [future.result() for future in futures if not _is_bystander(future)]
    spans = np.array(list(itertools.chain.from_iterable(results)))
    return Load(spans[:, 1].max() - spans[:, 0].min(), spans[:, 1] - spans[:, 0])


def _is_bystander(future) -> bool:
    """Tell whether a client gave up because another one failed, whose error says why."""
    return isinstance(future.exception(), threading.BrokenBarrierError)
