"""What docs/serving.md and docs/demo.md tell their reader to type exists; the configs are read."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest
from google.protobuf import text_format
from source_imports import ROOT, modules

from daaf_tf.protos import make_message_classes

PAGES = {
    name: (ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("serving", "demo")
}
CONFIGS = ROOT / "configs/serving"
SERVING_PYTHON = os.environ.get("DAAF_TF_SERVING_PYTHON")

# `tensorflow_serving/servables/tensorflow/session_bundle_config.proto`, its BatchingParameters.
BATCHING_PROTO = """
name: "batching.proto" package: "tensorflow.serving" syntax: "proto3"
message_type { name: "Int64Value"
  field { name: "value" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 } }
message_type { name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.Int64Value" }
  field { name: "batch_timeout_micros" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.Int64Value" }
  field { name: "max_enqueued_batches" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.Int64Value" }
  field { name: "num_batch_threads" number: 4 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.Int64Value" }
  field { name: "allowed_batch_sizes" number: 6 label: LABEL_REPEATED type: TYPE_INT64 } }
"""
OFFICIAL = """
import sys
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

config = model_server_config_pb2.ModelServerConfig()
text_format.Parse(open(sys.argv[1]).read(), config)
(model,) = config.model_config_list.config
print(model.name, model.base_path, model.model_version_policy.latest.num_versions)
"""


def commands():
    blocks = re.findall(r"^```bash\n(.*?)^```", "\n".join(PAGES.values()), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_exists_with_its_flags(words):
    module = words[2] if words[1] == "-m" else words[1].removesuffix(".py").replace("/", ".")
    path = modules()[module]
    if path.name == "__init__.py":
        path = path.with_name("__main__.py")
    source = path.read_text(encoding="utf-8")
    names = [re.match(r"--(\w+)", word)[1] for word in words if word.startswith("--")]
    assert [name for name in names if f'"{name}"' not in source] == []


def test_every_link_exists():
    for text in PAGES.values():
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (ROOT / "docs" / link).exists(), link


def test_batching_parameters():
    (kind,) = make_message_classes(BATCHING_PROTO, "BatchingParameters")
    text = (CONFIGS / "batching.config").read_text(encoding="utf-8")
    parameters = text_format.Parse(text, kind())
    # What TensorFlow Serving demands of them.
    assert parameters.allowed_batch_sizes[-1] == parameters.max_batch_size.value
    assert sorted(set(parameters.allowed_batch_sizes)) == list(parameters.allowed_batch_sizes)
    assert parameters.num_batch_threads.value >= 1


def test_the_page_and_the_programs_name_the_same_model():
    text = (CONFIGS / "models.config").read_text(encoding="utf-8")
    assert re.findall(r'name: "(\w+)"\n\s+base_path: "(.+)"', text) == [("daaf", "/models/daaf")]
    assert "S:/models/daaf:ro" in PAGES["serving"]
    for tool in ("serve_rest", "serving_client"):
        source = modules()[f"tools.{tool}"].read_text(encoding="utf-8")
        assert 'flags.DEFINE_string("model", "daaf"' in source


@pytest.mark.skipif(
    not SERVING_PYTHON, reason="DAAF_TF_SERVING_PYTHON does not name a Python with the package"
)
def test_models_config_is_the_official_message():
    done = subprocess.run(
        [SERVING_PYTHON, "-c", OFFICIAL, str(CONFIGS / "models.config")],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "daaf /models/daaf 1"), done.stderr
