"""Run the tests: `python3 tools/run_tests.py [pytest's arguments]`.

Needs nothing but Python 3.9 to 3.13: the first start makes `.venv` and installs into it. Without
arguments all tests run, by two processes; paths in arguments count from the root of the checkout.
"""

import bootstrap

bootstrap.ensure()

# From here on this is the Python of .venv, with everything installed.
import os  # noqa: E402
import sys  # noqa: E402

import pytest  # noqa: E402

# Most tests wait for TensorFlow to start and to trace, which takes one core. Those of a file stay
# together, since they share what they have made.
ALL = ["--numprocesses=2", "--dist=loadfile"]

if __name__ == "__main__":
    os.chdir(bootstrap.ROOT)
    sys.exit(pytest.main(sys.argv[1:] or ALL))
