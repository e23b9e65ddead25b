"""Embeddings by the newest checkpoint of a model directory."""

from __future__ import annotations

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.folder_reader import FolderReader
from daaf_tf.data.held_out import count_trained
from daaf_tf.data.records import RecordReader, compute_digest, read_manifest
from daaf_tf.evaluation.attention import make_samples
from daaf_tf.evaluation.image_sets import ImageSet
from daaf_tf.model import embedding_model
from daaf_tf.report import AttentionSample
from daaf_tf.retrieval import Features
from daaf_tf.training.evaluation import compute_features, load_model, measure_attention


class ModelSource:
    """Embeds data sets with a run's network.

    Attributes:
      name: for people.
      step: of the checkpoint.
      metric: by which its features are compared.
      tta: test-time augmentation.
    """

    def __init__(self, config: Config, model_dir: str):
        """Load the newest checkpoint.

        Args:
          config: the run's; image sizes, metric and test-time augmentation are taken from it.
          model_dir: its folder.

        Raises:
          UserError: no checkpoint, or none that can be read.
        """
        self._config = config
        self._model, self.step = load_model(config, model_dir)
        self._embedding_model = embedding_model(self._model)
        self.name = f"{model_dir}, step {self.step}"
        self.metric, self.tta = config.eval.eval_metric, config.eval.tta

    def embed(self, images: ImageSet, split: str) -> Features:
        """Embed every image of a split; see `compute_features`."""
        reader = images.readers[split]
        return compute_features(self._embedding_model, self._config, split, reader=reader)

    def measure(self, images: ImageSet) -> dict[str, float]:
        """Measure the branches on held-out identities, where the set is the run's own records.

        Others have no identities that were held out from training; see `measure_attention`.
        """
        if not self._trained_on(images):
            return {}
        return measure_attention(self._model, self._config.replace(data_dir=images.data_dir))

    def sample_attention(self, images: ImageSet) -> list[AttentionSample]:
        """Show what the branches predict on held-out identities if there are any, else on queries.

        Held-out identities are those of training images, which have masks and keypoints.
        """
        reader = images.readers[schema.QUERY]
        positions = range(reader.num_images)
        if self._config.data.held_out_identities and self._trained_on(images):
            reader = RecordReader(images.data_dir, schema.TRAIN)
            trained = count_trained(len(reader.images_per_label), self._config.data)
            first = int(reader.images_per_label[:trained].sum())
            positions = range(first, reader.num_images)
        elif isinstance(reader, FolderReader):
            positions = reader.list_usable()
        return make_samples(self._model, self._config, reader, positions)

    def _trained_on(self, images: ImageSet) -> bool:
        """Tell whether a data set is the run's own records."""
        if not images.data_dir:
            return False
        train = read_manifest(images.data_dir)["splits"].get(schema.TRAIN)
        return train is not None and compute_digest(train) == self._config.data.train_digest
