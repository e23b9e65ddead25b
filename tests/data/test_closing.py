import subprocess
import sys

import pytest

from daaf_tf.data.closing import Calls

# Reading is so slow that some of it is always under way when the program ends.
PROGRAM = """
import sys, time
import daaf_tf
import tensorflow as tf
from daaf_tf.data.closing import Calls

calls = Calls()

def read(step):
    with calls:
        time.sleep(0.1)
        return step

def read_op(step):
    return tf.numpy_function(read, [step], tf.int64, stateful=False)

def main():
    global kept
    dataset = tf.data.Dataset.counter().map(read_op, num_parallel_calls=2).prefetch(4)
    kept = [iter(dataset)]
    kept.append(kept)
    next(kept[0])
    END

main()
"""
ENDS = {
    "pass": 0,
    "kept = None": 0,
    "kept = None; sys.exit(3)": 3,
    "raise ValueError": 1,
    "cycle, kept = kept, None; raise ValueError": 1,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_while_its_batches_are_being_read(end):
    program = PROGRAM.replace("END", end)
    done = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert done.returncode == ENDS[end]


def test_calls_are_refused_once_closed():
    calls = Calls()
    with calls:
        pass
    calls.close()
    with pytest.raises(RuntimeError, match="ends"), calls:
        pytest.fail("a call was let in")
