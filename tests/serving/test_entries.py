"""The entries of a gallery."""

import numpy as np
import pytest

from daaf_tf.serving.entries import Entries, Entry, format_entry


def make_entries(ids):
    lines = [format_entry(Entry(number, f"{number}.jpg", None, None, 0, None)) for number in ids]
    return Entries(b"".join(lines))


@pytest.mark.parametrize("seed", range(20))
def test_each_number_is_found_and_no_other(seed):
    random = np.random.default_rng(seed)
    ids = np.flatnonzero(random.random(30) < 0.5).tolist()
    entries = make_entries(ids)
    for number in range(-1, 31):
        found = entries.find(number)
        assert (found and found.path) == (f"{number}.jpg" if number in ids else None)
