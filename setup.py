"""Install daaf_tf. The pins are measured: see "The stack" in README.md."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "daaf_tf/__init__.py").read_text()).group(1)

OLD = 'python_version < "3.12"'  # Keras 2 is TensorFlow's own
NEW = 'python_version >= "3.12"'  # Keras 2 is the package tf_keras

setuptools.setup(
    name="daaf_tf",
    version=VERSION,
    description="Deep attention aware feature learning for person re-identification, in TensorFlow",
    license="Apache-2.0",
    python_requires=">=3.9,<3.14",
    packages=setuptools.find_packages(include=["daaf_tf", "daaf_tf.*"]),
    install_requires=[
        f"tensorflow==2.15.1; {OLD}",
        f"tensorflow-addons==0.23.0; {OLD}",
        f"tensorflow==2.21.*; {NEW}",
        f"tf_keras==2.21.*; {NEW}",
        "keras-cv==0.9.0",
        f"numpy==1.26.4; {OLD}",
        f"numpy>=2,<3; {NEW}",
        f"protobuf==4.25.9; {OLD}",
        f"tensorflow-datasets==4.9.6; {OLD}",
        f"tensorflow-metadata==1.15.0; {OLD}",
        f"pyarrow<21; {OLD}",
        "importlib_resources",
        "setuptools<81",
        'pillow==11.3.0; python_version < "3.10"',
        'pillow==12.3.0; python_version >= "3.10"',
        "absl-py",
        "google-crc32c",
        "matplotlib",
        "tqdm",
    ],
    extras_require={
        "gpu": [f"tensorflow[and-cuda]==2.15.1; {OLD}", f"tensorflow[and-cuda]==2.21.*; {NEW}"],
        "beam": ["apache-beam==2.77.0"],  # Python 3.10 and newer
        "test": ["pytest", "ruff"],
    },
)
