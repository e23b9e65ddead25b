"""The workers of a run on several hosts, as the environment variable TF_CONFIG names them.

TF_CONFIG is TensorFlow's own way to tell a process of its cluster. On each host, say:

  TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]},
              "task": {"type": "worker", "index": 0}}'
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from daaf_tf.errors import UserError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
# The jobs whose tasks train, in the order in which TensorFlow counts them.
_JOBS = ("chief", "worker")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_LARGEST_PORT = 65535
_SPEAKING_SECONDS = 4.0  # until the message is out, for which the other workers are tried


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers of a run, and which of them this process is.

    Attributes:
      addresses: "host:port" of each worker; the first is the chief.
      index: this process among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def address(self) -> str:
        """Return this worker's own address."""
        return self.addresses[self.index]

    def others(self) -> list[str]:
        """Return the addresses of the other workers."""
        return [address for i, address in enumerate(self.addresses) if i != self.index]


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Return the cluster that TF_CONFIG names, or None where it names no other worker.

    Raises:
      UserError: TF_CONFIG is no JSON, or not of the form that TensorFlow documents, or has a job
        other than chief and worker, an address that is not "host:port" or stands there twice, or a
        task that is not in the cluster.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is not JSON ({error}): {text[:200]}") from error
    if not isinstance(config, dict):
        raise _wrong(f"holds no object: {text[:200]}")
    if not config.get("cluster"):
        return None
    jobs = _parse_jobs(config["cluster"])
    addresses = [address for job in _JOBS for address in jobs.get(job, [])]
    doubled = sorted({address for address in addresses if addresses.count(address) > 1})
    if doubled:
        raise _wrong(f"names {', '.join(doubled)} twice; each worker needs an address of its own")
    job, index = _parse_task(config.get("task"), jobs)
    if len(addresses) == 1:
        return None
    return Cluster(tuple(addresses), index + (len(jobs.get("chief", [])) if job != "chief" else 0))


def _wrong(what: str) -> UserError:
    return UserError(f"{VARIABLE} {what}\n  expected, for example: {EXAMPLE}")


def _parse_jobs(cluster) -> dict[str, list[str]]:
    if not isinstance(cluster, dict):
        raise _wrong(f"has a cluster that is no object: {cluster!r}")
    unknown = sorted(set(cluster) - set(_JOBS))
    if unknown:
        raise _wrong(
            f"has the job {', '.join(unknown)}; training knows {' and '.join(_JOBS)} (evaluation "
            "runs inside of it, on the chief)"
        )
    for job, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses:
            raise _wrong(f"has no list of addresses for {job}: {addresses!r}")
        for address in addresses:
            match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if not match or not 0 < int(match[2]) <= _LARGEST_PORT:
                raise _wrong(f"has the address {address!r} of {job}; addresses are host:port")
    if len(cluster.get("chief", [])) > 1:
        raise _wrong(f"names {len(cluster['chief'])} chiefs; there can be one")
    return cluster


def _parse_task(task, jobs: dict[str, list[str]]) -> tuple[str, int]:
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _wrong(f"does not say which task this process is: task is {task!r}")
    job, index = task["type"], task["index"]
    if not isinstance(job, str) or job not in jobs:
        raise _wrong(f"has the task type {job!r}; the cluster has {', '.join(jobs)}")
    if type(index) is str and index.isdecimal():
        index = int(index)
    if type(index) is not int or not 0 <= index < len(jobs[job]):
        raise _wrong(
            f"has the task index {task['index']!r}; {job} has {len(jobs[job])} task(s), so it must "
            f"be 0 to {len(jobs[job]) - 1}"
        )
    return job, index


def check_addresses(cluster: Cluster) -> None:
    """Raise a UserError if a host is unknown or this worker's own port cannot be had."""
    for address in cluster.addresses:
        host, port = _split(address)
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UserError(f"{VARIABLE}: the host of {address} is not known ({error})") from error
    _, port = _split(cluster.address)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        # As TensorFlow's server takes it: a port that was in use a moment ago is free.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("", port))
        except OSError as error:
            raise UserError(
                f"{VARIABLE}: this worker is to listen at {cluster.address}, but cannot have the "
                f"port {port} ({error}); end what uses it, or name another port on every worker"
            ) from error


def _split(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def end_unless_done(seconds: float, message: Callable[[], str]) -> Iterator[None]:
    """End the process with a message if what is inside takes longer.

    TensorFlow waits for an hour and more for a worker that does not come, inside of a call that
    nothing can interrupt; there is nothing to lose yet.

    Args:
      seconds: how long it may take.
      message: returns what to say; called when the time is over.
    """
    # TensorFlow keeps Python's lock while it waits, so that no thread of this process can speak, or
    # run at all but for faulthandler's, which needs no Python. A fork speaks.
    waiting = os.getpid()
    speaker = os.fork()
    if not speaker:
        _speak(waiting, seconds, message)
    with open(os.devnull, "w") as unread:
        faulthandler.dump_traceback_later(seconds + _SPEAKING_SECONDS, exit=True, file=unread)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            with contextlib.suppress(ProcessLookupError):
                os.kill(speaker, signal.SIGKILL)
            os.waitpid(speaker, 0)


def _speak(waiting: int, seconds: float, message: Callable[[], str]) -> None:
    """Speak for a process once the time is over, unless it has ended before; never return."""
    try:
        # Whoever stops the process group means the one that waits: it ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        deadline = time.monotonic() + seconds
        while os.getppid() == waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                print(f"error: {message()}", file=sys.stderr, flush=True)
                break
            time.sleep(min(left, 1.0))
    finally:
        os._exit(0)


def describe_missing(cluster: Cluster, seconds: float) -> str:
    """Return the message for workers that have not met in time; tries who answers."""
    silent = [address for address in cluster.others() if not _answers(address)]
    who = (
        f"no answer from {', '.join(silent)}"
        if silent
        else "all of them answer, but have not joined"
    )
    return (
        f"worker {cluster.index} at {cluster.address} has waited {seconds:g} s for the other "
        f"workers in {VARIABLE}: {who}. Start the same command on every host, see that the ports "
        "are open between them, or raise --cluster_timeout"
    )


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(_split(address), timeout=2):
            return True
    except OSError:
        return False
