"""Pickles of plain data are read as Python reads them; what they import is never run."""

import collections
import io
import os
import pickle

import pytest
from weight_samples import Call, pickled

from daaf_tf.errors import UserError
from daaf_tf.model.pickle_reader import Global, Rebuilt, read_pickle

PLAIN = {
    "text": "é\n",
    "numbers": [0, 1, 255, 256, 70000, -3, 2**70, 1.5, True, False, None],
    "empty": ([], (), {}, set()),
    "tuples": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "set": {1, 2},
    "bytes": b"ab",
}


class Runs:
    """Pickled as a call of os.system."""

    def __reduce__(self):
        return os.system, ("false",)


def read(content, allowed=None, **arguments):
    return read_pickle(io.BytesIO(content), allowed or {}, **arguments)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_read_as_python_reads_it(protocol):
    # Old protocols make sets and bytes by calls, which only an allowed import can.
    names = set(PLAIN) - (set() if protocol >= 4 else {"set", "bytes", "empty"})
    value = {name: PLAIN[name] for name in names}
    assert read(pickle.dumps(value, protocol)) == value


def test_objects_that_come_twice_are_one():
    shared = [1]
    found = read(pickle.dumps([shared, shared], 2))
    assert found[0] is found[1]


def test_the_file_is_left_behind_the_pickle():
    file = io.BytesIO(pickle.dumps(1, 2) + pickle.dumps(2, 4) + b"rest")
    assert [read_pickle(file, {}), read_pickle(file, {}), file.read()] == [1, 2, b"rest"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_refused_by_name_and_not_run(protocol, monkeypatch):
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    # Pickled by the name that the function had before.
    monkeypatch.setattr(Runs, "__reduce__", lambda self: (pickle.loads, (b"",)))
    with pytest.raises(UserError, match=r"asks for '_?pickle\.loads'"):
        read(pickle.dumps(Runs(), protocol))
    with pytest.raises(UserError, match=r"asks for 'posix\.system'"):
        read(pickled(Call("posix.system", ("false",))))
    assert ran == []


def test_allowed_names_are_called_and_others_are_not():
    allowed = {"collections.OrderedDict": lambda items=(): dict(items)}
    ordered = collections.OrderedDict(a=1, b=2)
    assert read(pickle.dumps(ordered, 2), allowed) == {"a": 1, "b": 2}
    with pytest.raises(UserError, match=r"asks for 'collections\.Counter'"):
        read(pickle.dumps(collections.Counter("a"), 2), allowed)


def test_a_value_is_no_function():
    allowed = {"torch.FloatStorage": "float32"}
    assert read(b"\x80\x02ctorch\nFloatStorage\n.", allowed) == Global(
        "torch.FloatStorage", "float32"
    )
    with pytest.raises(UserError, match="no function"):
        read(b"\x80\x02ctorch\nFloatStorage\n)R.", allowed)


def test_state_is_taken_only_by_what_has_none_of_its_own():
    class Made(Rebuilt):
        pass

    made = Made()
    allowed = {"m.make": lambda: made, "m.other": object}
    assert read(b"\x80\x02cm\nmake\n)R}b.", allowed) is made
    with pytest.raises(UserError, match="state for a object"):
        read(b"\x80\x02cm\nother\n)R}b.", allowed)
    with pytest.raises(UserError, match="state for a Global"):
        read(b"\x80\x02cm\nother\n}b.", allowed)


def test_objects_outside_of_the_pickle_are_asked_for():
    assert read(b"\x80\x02K\x07Q.", persistent=lambda identity: identity + 1) == 8
    with pytest.raises(UserError, match="outside of the pickle"):
        read(b"\x80\x02K\x07Q.")


def test_instructions_that_no_weights_need_are_named():
    with pytest.raises(UserError, match="instruction EXT1"):
        read(b"\x80\x02\x82\x01.")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02]K\x01",
        b"\x80\x02e.",
        b"\x80\x02(K\x01u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02K\x01\x85\x86.",
        b"\x80\x02h\x05.",
        b"\x80\x02(](K\x01tK\x02\x93.",
        b"\x80\x02}](K\x01u.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02r\xff\xff\xff\xff.",
    ],
)
def test_malformed_pickles_end_in_a_message(content):
    with pytest.raises(UserError, match=r"a pickle (that|without)"):
        read(content)


def test_every_truncation_ends_in_a_message():
    content = pickle.dumps(PLAIN, 4)
    for size in range(len(content)):
        with pytest.raises(UserError):
            read(content[:size])
