"""One tiny network and one export of it, with everything in it, for all tests of serving."""

from __future__ import annotations

import pytest
from tiny_export import CONFIG, build_network

from daaf_tf.model import embedding_model
from daaf_tf.serving import ExportOptions, load, write_saved_model


@pytest.fixture(scope="session")
def network():
    return build_network()


@pytest.fixture(scope="session")
def plain(network):
    """The network's embedding model."""
    return embedding_model(network)


@pytest.fixture(scope="session")
def attentive(network, tmp_path_factory):
    """The loaded export, with the signatures for attention."""
    folder = tmp_path_factory.mktemp("attentive")
    write_saved_model(network, CONFIG, folder, options=ExportOptions(attention=True))
    return load(folder)
