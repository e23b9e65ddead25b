"""Files of torch.save are read without torch: both formats, every type, views, wrappers."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from weight_samples import (
    BFloat16,
    Call,
    Parts,
    encode,
    torch_legacy,
    torch_zip,
)

from daaf_tf.errors import UserError
from daaf_tf.model.torch_file import read_torch_legacy, read_torch_zip

RNG = np.random.default_rng(0)
TENSORS = {
    "kernel": RNG.normal(size=(2, 3, 1, 2)).astype(np.float32),
    "transposed": np.asfortranarray(RNG.normal(size=(3, 2)).astype(np.float32)),
    "double": RNG.normal(size=3),
    "half": RNG.normal(size=4).astype(np.float16),
    "scalar": np.array(5, np.int64),
    "empty": np.zeros((0, 3), np.float32),
}
FORMATS = {"zip": (torch_zip, read_torch_zip), "legacy": (torch_legacy, read_torch_legacy)}


@pytest.fixture(params=FORMATS)
def both(request):
    """How a format is written and read."""
    return FORMATS[request.param]


def assert_tensors(found, expected=TENSORS):
    assert list(found) == list(expected)
    for name, array in expected.items():
        floating = array.dtype.kind == "f"
        assert found[name].dtype == (np.float32 if floating else array.dtype)
        np.testing.assert_array_equal(found[name], array.astype(found[name].dtype), err_msg=name)


def test_values_shapes_and_types(both):
    write, read = both
    assert_tensors(read(write(TENSORS)))


def test_bfloat16(both):
    write, read = both
    bits = np.array([0x3F80, 0xC040, 0x0000, 0x7F80], np.uint16).view(BFloat16)
    np.testing.assert_array_equal(read(write({"w": bits}))["w"], np.float32([1, -3, 0, np.inf]))


@pytest.mark.parametrize(
    "wrapped",
    [
        {"state_dict": TENSORS},
        {"epoch": 3, "arch": "resnet50", "state_dict": TENSORS, "best": np.ones(1)},
        {"model": {"state_dict": TENSORS}, "optimizer": {"state": [1, 2.5, None]}},
        {"net": TENSORS},
    ],
)
def test_weights_are_found_beside_what_else_is_saved(both, wrapped):
    write, read = both
    assert_tensors(read(write(wrapped)))


def test_what_is_no_tensor_has_none(both):
    write, read = both
    found = read(write({"w": np.ones(1, np.float32), "version": 3}))
    assert found["version"] is None
    np.testing.assert_array_equal(found["w"], [1])


def test_parameters_and_metadata(both):
    write, read = both
    tensor = np.ones(2, np.float32)
    parameter = Call("torch._utils._rebuild_parameter", (tensor, True, {}))
    assert_tensors(read(write({"w": parameter})), {"w": tensor})


def test_ordered_dict_with_attributes():
    parts = Parts([], legacy=False)
    body = encode({"w": np.ones(1, np.float32)}, parts) + encode({"_metadata": {}}) + b"b"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("a/data/0", np.ones(1, np.float32).tobytes())
    assert_tensors(read_torch_zip(file.getvalue()), {"w": np.ones(1, np.float32)})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"w": Call("posix.system", ("false",))}, "asks for 'posix.system'"),
        ({"w": Call("builtins.eval", ("1",))}, "asks for 'builtins.eval'"),
        ({"args": Call("argparse.Namespace"), "w": TENSORS}, "asks for 'argparse.Namespace'"),
        (Call("torchvision.models.resnet.ResNet"), "asks for 'torchvision.models.resnet.ResNet'"),
        ({"epoch": 3}, "holds a dict with epoch, expected tensors by name"),
        ([1, 2], "holds a list, expected tensors by name"),
        (np.ones(1, np.float32), "holds a tensor, expected tensors by name"),
    ],
)
def test_what_holds_no_weights_is_refused(both, value, message):
    write, read = both
    with pytest.raises(UserError, match=message):
        read(write(value))


def tensor(offset=0, shape=(2,), stride=(1,), size=2, key="0", storage="FloatStorage"):
    """Return a pickle of one tensor made of these numbers."""
    identity = b"(" + encode("storage") + f"ctorch\n{storage}\n".encode() + encode(key)
    identity += encode("cpu") + encode(size) + b"tQ"
    rest = encode(offset) + encode(shape) + encode(stride) + encode(False) + encode({})
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + rest + b"tR"
    return b"\x80\x02}" + encode("w") + made + b"s."


def archive(body, record=b"\0" * 8):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("a/data.pkl", body)
        written.writestr("a/data/0", record)
    return file.getvalue()


@pytest.mark.parametrize(
    "numbers",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (3,)},
        {"stride": (2,)},
        {"stride": (-1,)},
        {"shape": (10**12,), "stride": (0,)},
        {"shape": (2, 1)},
        {"shape": (2.0,)},
        {"size": -1},
        {"size": 3},
        {"key": ("0",)},
        {"key": "1"},
        {"storage": "Size"},
        {"storage": "QInt8Storage"},
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(numbers):
    read_torch_zip(archive(tensor()))
    with pytest.raises(UserError):
        read_torch_zip(archive(tensor(**numbers)))


def test_compressed_records_are_refused():
    with pytest.raises(UserError, match="compressed"):
        read_torch_zip(torch_zip(TENSORS, compression=zipfile.ZIP_DEFLATED))


def test_other_archives_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("word/document.xml", "<x/>")
    with pytest.raises(UserError, match="torch.save did not write .it holds word/document.xml"):
        read_torch_zip(file.getvalue())


def test_a_damaged_record_is_refused():
    content = bytearray(torch_zip(TENSORS))
    content[content.index(TENSORS["kernel"].tobytes()) + 5] ^= 1
    with pytest.raises(UserError, match="damaged"):
        read_torch_zip(bytes(content))


def test_legacy_views_of_a_storage():
    content = torch_legacy({"w": np.arange(6, dtype=np.float32)})
    none = encode(6) + encode(None)
    view = encode(6) + encode(("1", 2, 3))
    shape = encode((6,)), encode((3,))
    content = content.replace(none, view).replace(*shape)
    np.testing.assert_array_equal(read_torch_legacy(content)["w"], [2, 3, 4])


def test_legacy_files_of_another_machine_or_version_are_refused():
    content = torch_legacy(TENSORS)
    start = content.index(b"little_endian")
    true = content.index(b"\x88", start)
    with pytest.raises(UserError, match="big-endian"):
        read_torch_legacy(content[:true] + b"\x89" + content[true + 1 :])
    version = struct.pack("<H", 1001)
    with pytest.raises(UserError, match="version 1002"):
        read_torch_legacy(content.replace(version, struct.pack("<H", 1002), 1))


def test_every_truncation_ends_in_a_message(both):
    write, read = both
    content = write({"w": TENSORS["kernel"], "v": TENSORS["half"]})
    for size in range(len(content)):
        with pytest.raises(UserError):
            read(content[:size])


def test_damage_anywhere_is_refused_or_harmless(both):
    write, read = both
    content = write({"w": TENSORS["kernel"], "v": TENSORS["half"]})
    rng = np.random.default_rng(0)
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= rng.integers(1, 256)
        try:
            read(bytes(damaged))
        except UserError:
            refused += 1
    assert refused > len(content) / 10
