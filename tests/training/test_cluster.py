"""TF_CONFIG: what is read from it, and how each mistake in it is named."""

import json
import socket
import subprocess
import sys

import pytest

from daaf_tf.errors import UserError
from daaf_tf.training.cluster import Cluster, check_addresses, describe_missing, read_cluster

TWO = {"worker": ["a:1", "b:2"]}


def read(cluster, job="worker", index=0):
    config = {"cluster": cluster, "task": {"type": job, "index": index}}
    return read_cluster({"TF_CONFIG": json.dumps(config)})


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}])
def test_no_cluster_is_one_host(environment):
    assert read_cluster(environment) is None


def test_a_cluster_of_one_is_one_host():
    assert read({"worker": ["a:1"]}) is None
    assert read({"chief": ["a:1"]}, "chief") is None


def test_the_chief_comes_first():
    assert read(TWO, index=1) == Cluster(("a:1", "b:2"), 1)
    with_chief = {"worker": ["b:2", "[::1]:3"], "chief": ["a:1"]}
    assert read(with_chief, "chief") == Cluster(("a:1", "b:2", "[::1]:3"), 0)
    assert read(with_chief, "worker", 1) == Cluster(("a:1", "b:2", "[::1]:3"), 2)
    assert read(with_chief, "worker", "0").others() == ["a:1", "[::1]:3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{cluster", "is not JSON"),
        ("[1]", "holds no object"),
        ('{"cluster": [1]}', "a cluster that is no object"),
        ('{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}}', "has the job ps"),
        ('{"cluster": {"worker": "a:1"}}', "no list of addresses for worker"),
        ('{"cluster": {"worker": []}}', "no list of addresses for worker"),
        ('{"cluster": {"worker": ["a:1", "b"]}}', "has the address 'b'"),
        ('{"cluster": {"worker": ["a:1", "b:99999"]}}', "has the address 'b:99999'"),
        ('{"cluster": {"worker": ["a:1", "http://b:1"]}}', "has the address 'http://b:1'"),
        ('{"cluster": {"worker": ["a:1", 7]}}', "has the address 7"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}}', "names a:1 twice"),
        ('{"cluster": {"chief": ["a:1", "b:1"]}}', "names 2 chiefs"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "does not say which task"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 0}}', "does not say which"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_expected(text, message):
    with pytest.raises(UserError, match=message) as caught:
        read_cluster({"TF_CONFIG": text})
    assert "expected, for example" in str(caught.value)


@pytest.mark.parametrize("index", [2, -1, "two", 0.5, None, True])
def test_a_task_outside_of_the_cluster_is_named(index):
    with pytest.raises(UserError, match=r"task index .* must be 0 to 1"):
        read(TWO, index=index)


def test_a_task_of_another_job_is_named():
    with pytest.raises(UserError, match="task type 'evaluator'; the cluster has worker"):
        read(TWO, "evaluator")


def test_an_unknown_host_and_a_port_in_use_are_named():
    with pytest.raises(UserError, match="no.such.host.invalid:1 is not known"):
        check_addresses(Cluster(("127.0.0.1:1", "no.such.host.invalid:1"), 0))
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot have the port {port}"):
            check_addresses(Cluster((f"127.0.0.1:{port}", "127.0.0.1:1"), 0))


def test_who_does_not_answer_is_named():
    with socket.socket() as there, socket.socket() as silent:
        there.bind(("127.0.0.1", 0))
        there.listen()
        silent.bind(("127.0.0.1", 0))  # bound, so that nobody else answers there
        addresses = ["127.0.0.1:1", *(f"127.0.0.1:{s.getsockname()[1]}" for s in (there, silent))]
        message = describe_missing(Cluster(tuple(addresses), 0), 5)
    assert f"no answer from {addresses[2]}." in message
    assert "has waited 5 s" in message


def test_waiting_ends_with_the_message():
    code = (
        "import time\n"
        "from daaf_tf.training.cluster import end_unless_done\n"
        "with end_unless_done(60, lambda: 'not this one'):\n"
        "    pass\n"
        "with end_unless_done(0.05, lambda: 'nobody came'):\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: nobody came\n")


STOPPED = """
import os, signal, sys, time
from daaf_tf.training.cluster import end_unless_done
with end_unless_done(120, lambda: "nobody came"):
    time.sleep(0.3)  # the other process is there
    {stop}
print("here", flush=True)
"""


def test_a_signal_to_all_processes_is_answered_by_the_one_that_waits():
    stop = "signal.signal(2, lambda *_: print('asked', flush=True)); os.kill(0, 2); time.sleep(0.5)"
    done = subprocess.run(
        [sys.executable, "-c", STOPPED.format(stop=stop)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked\nhere\n", "")


def test_nothing_is_left_of_one_that_was_killed():
    done = subprocess.run(
        [sys.executable, "-c", STOPPED.format(stop="os.kill(os.getpid(), 9)")],
        capture_output=True,  # until nobody can write any more
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")
