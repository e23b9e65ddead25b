"""Install daaf_tf: which release of each package goes with which Python.

Python 3.9 to 3.11 get the only released set in which TensorFlow, tensorflow-addons and keras-cv
work together; newer Pythons get a newer TensorFlow with the package tf_keras, without
tensorflow-addons. The pins keep `pip check` clean and imports quiet on the Pythons that they name.
"""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "daaf_tf/__init__.py").read_text()).group(1)

OLD = 'python_version < "3.12"'  # Keras 2 is TensorFlow's own
NEW = 'python_version >= "3.12"'  # Keras 2 is the package tf_keras
PYTHON_39 = 'python_version < "3.10"'
PYTHON_310 = 'python_version == "3.10"'
PYTHON_310_UP = 'python_version >= "3.10"'

STACK = [
    f"tensorflow==2.15.1; {OLD}",
    f"tensorflow-addons==0.23.0; {OLD}",
    f"tensorflow==2.21.*; {NEW}",
    f"tf_keras==2.21.*; {NEW}",
    f"tensorboard==2.15.*; {OLD}",
    f"tensorboard==2.21.*; {NEW}",
    "keras-cv==0.9.0",
    f"numpy==1.26.4; {OLD}",
    f"numpy>=2,<3; {NEW}",
    f"protobuf==4.25.9; {OLD}",
    f"protobuf; {NEW}",
    f"pillow==11.3.0; {PYTHON_39}",
    f"pillow==12.3.0; {PYTHON_310_UP}",
    "absl-py",
    "google-crc32c",
    "grpcio",  # TensorFlow's own choice of version
    "h5py",
    "safetensors==0.7.0",  # the newest for Python 3.9
    "matplotlib",
    "tqdm",
]

# What the stack pulls in, held where its newest release breaks something.
HELD = [
    "setuptools<81",  # TensorBoard imports pkg_resources
    "importlib_resources",  # tensorflow-datasets imports it and does not ask for it
    f"tensorflow-datasets==4.9.3; {PYTHON_39}",
    f"tensorflow-datasets==4.9.6; {PYTHON_310_UP} and {OLD}",
    f"tensorflow-metadata==1.17.3; {OLD}",  # the only one that takes this protobuf on 3.9 and 3.10
    f"pyarrow<21; {OLD}",
    f"etils<1.6; {PYTHON_39}",  # else pip searches for minutes
    f"etils<1.14; {PYTHON_310}",
]

# Approximate search alone needs it; the newest for Python 3.9.
SEARCH = "faiss-cpu==1.13.0"

setuptools.setup(
    name="daaf_tf",
    version=VERSION,
    description="Deep attention aware feature learning for person re-identification, in TensorFlow",
    license="Apache-2.0",
    python_requires=">=3.9,<3.14",
    packages=setuptools.find_packages(include=["daaf_tf", "daaf_tf.*"]),
    install_requires=STACK + HELD,
    extras_require={
        "gpu": [f"tensorflow[and-cuda]==2.15.1; {OLD}", f"tensorflow[and-cuda]==2.21.*; {NEW}"],
        "beam": ["apache-beam==2.77.0"],  # Python 3.10 and newer
        "coco": ["pycocotools==2.0.11"],
        "demo": ["gradio==6.31.0"],  # Python 3.10 and newer
        "search": [SEARCH],
        "test": ["pytest", "pytest-timeout", "pytest-xdist", "ruff", "pycocotools==2.0.11", SEARCH],
    },
)
