"""Features of a data set's images, computed once by a network that is not trained.

They serve to fit a classifier before training, and to train one alone.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import progress
from efficientnet_tf.data import batches, sources, tfrecord
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.data.settings import Labels
from efficientnet_tf.models import stages
from efficientnet_tf.training import forward, pipelines

MOST_IMAGES = 100_000  # 0.5 GB of features of B0


class CachedFeatures:
    """A data source whose "image" is the feature vector of each image.

    Images are prepared as for evaluation, so an image has the same features in each
    epoch. Implements `data.sources.Source`, for one host.

    Args:
        model: a model that `EfficientNet` built under the strategy; its weights up to
            the classifier must not change.
        source: the images.
        preparation: evaluation's preparation of images.
        labels: numbering of the labels and of the model's outputs.
        batch_size: int, images of all replicas together.
        strategy: the strategy of one host.
    """

    def __init__(
        self,
        model: keras.Model,
        source: sources.Source,
        preparation: Preparation,
        *,
        labels: Labels,
        batch_size: int,
        strategy: tf.distribute.Strategy,
    ):
        self._source = source
        self._preparation = preparation
        self._labels = labels
        self._batch_size = batch_size
        self._strategy = strategy
        self._arrays: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._numbers: dict[str, np.ndarray] = {}  # of the images, int32
        self._model = model

    @property
    def splits(self) -> tfrecord.Splits:
        """The splits of the images."""
        return self._source.splits

    def arrays(self, split: tfrecord.Split) -> tuple[np.ndarray, np.ndarray]:
        """Returns the features of a split, in the order of its files.

        Args:
            split: one of `splits`.

        Returns:
            float32 [images, channels] features, and what `batches.eval_batches` has for
            labels: int32 [images] or float32 [images, classes].

        Raises:
            ValueError: if the split has more images than memory should hold.
        """
        if split.images > MOST_IMAGES:
            raise ValueError(
                f"{split.images} {split.name} images are too many to keep their "
                f"features, of which {MOST_IMAGES} fit: give --classifier_init=zero, "
                "and no --freeze=backbone"
            )
        if split.name not in self._arrays:
            *arrays, self._numbers[split.name] = self._compute(split)
            self._arrays[split.name] = tuple(arrays)
        return self._arrays[split.name]

    def train(
        self,
        transform: batches.TrainTransform,
        *,
        batch_size: int,
        seed: int = 0,
        start: int = 0,
        **_: Any,
    ) -> tf.data.Dataset:
        """Yields endless shuffled batches; see `batches.train_batches`."""
        if self.splits.train is None:
            raise ValueError("the dataset holds no images to train on")
        arrays = self.arrays(self.splits.train)
        features, labels = (tf.constant(array) for array in arrays)
        if not transform.labels.multi_label:
            labels = tf.one_hot(labels, transform.labels.num_classes)
        images = len(arrays[0])
        first, offset = divmod(start, images)

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(images), seed=tf.stack([tf.cast(seed, tf.int64), number])
            )
            return tf.data.Dataset.from_tensor_slices(order)

        def batch(order: tf.Tensor) -> dict[str, tf.Tensor]:
            return {
                "image": tf.gather(features, order),
                "label": tf.gather(labels, order),
            }

        numbers = tf.data.Dataset.range(first, tf.int64.max).flat_map(epoch)
        return numbers.skip(offset).batch(batch_size, drop_remainder=True).map(batch)

    def evaluate(
        self,
        split: tfrecord.Split,
        preparation: Preparation,
        *,
        labels: Labels,
        batch_size: int,
        shard: batches.Shard,
    ) -> tf.data.Dataset:
        """Yields the features of each image once; see `batches.eval_batches`."""
        del preparation, labels, shard  # those of the constructor
        arrays = self.arrays(split)
        features, true = (tf.constant(array) for array in arrays)
        images = len(arrays[0])
        known = tf.constant(self._numbers[split.name])

        def batch(places: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
            chosen = tf.minimum(places, images - 1)
            return {
                "image": tf.gather(features, chosen),
                "label": tf.gather(true, chosen),
                "mask": mask,
                "number": tf.where(mask > 0, tf.gather(known, chosen), -1),
            }

        return batches.numbered(images, batch_size).map(batch)

    def _compute(self, split: tfrecord.Split) -> list[np.ndarray]:
        """Computes the features, labels and numbers of a split's images."""
        iterator = iter(self._distributed(split))
        found: dict[str, list] = {"image": [], "label": [], "number": []}
        with progress.Images(split.images) as counted:
            counted.say(f"features of {split.images} {split.name} images")
            while True:
                batch = {name: v.numpy() for name, v in self._step(iterator).items()}
                kept = batch["mask"] > 0
                if not kept.any():
                    break
                for name, arrays in found.items():
                    arrays.append(batch[name][kept])
                counted.add(int(kept.sum()))
        return [np.concatenate(arrays) for arrays in found.values()]

    def _distributed(self, split: tfrecord.Split) -> Any:
        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return self._source.evaluate(
                split,
                self._preparation,
                labels=self._labels,
                batch_size=context.get_per_replica_batch_size(self._batch_size),
                shard=batches.Shard(),
            )

        return pipelines.distributed(self._strategy, dataset)

    @functools.cached_property
    def _step(self) -> Callable[[Any], dict[str, tf.Tensor]]:
        """Computes the features of the next batch of all replicas, in their order."""
        with self._strategy.scope():
            backbone = stages.backbone(self._model)
            backbone = forward.in_prediction(backbone, self._strategy)

        def replica(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            features = backbone(batch["image"], training=False)
            return batch | {"image": tf.cast(features, tf.float32)}

        def step(iterator: Any) -> dict[str, tf.Tensor]:
            found = self._strategy.run(replica, args=(next(iterator),))
            return {
                name: self._strategy.gather(value, axis=0)
                for name, value in found.items()
            }

        return tf.function(step, autograph=False)
