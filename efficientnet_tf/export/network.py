"""A classifier's network as formats write it."""

import dataclasses
from typing import Self

import keras
import tensorflow as tf

from efficientnet_tf.export import frozen_graph, inference_graph
from efficientnet_tf.inference.classifier import Classifier, classify
from efficientnet_tf.models import efficientnet
from efficientnet_tf.weights import model_layout
from efficientnet_tf.weights import passport as passports

OUTPUTS = ("logits", "probabilities")
# Weights up to B5's are constants. B7's, 265 MB, would take 10.6 GB to save: every
# signature has a copy of the graph.
CONSTANT_BYTES = 2**27


@dataclasses.dataclass(frozen=True)
class Network:
    """Maps images to logits and probabilities.

    Args:
        model: a model as `inference_graph.build` makes it.
        image_size: int, height and width of the images in pixels.
    """

    model: keras.Model
    image_size: int

    @classmethod
    def of(cls, classifier: Classifier) -> Self:
        """Builds the network of a classifier."""
        model = inference_graph.build(classifier.model)
        return cls(model, classifier.preparation.image_size)

    @classmethod
    def smaller(cls, classifier: Classifier, image_size: int) -> Self:
        """Builds the network of a classifier for smaller images, with its weights.

        Args:
            classifier: the classifier.
            image_size: int, height and width of the images in pixels.
        """
        images = keras.Input((image_size, image_size, 3))
        with efficientnet.deep_graphs():
            model = keras.models.clone_model(classifier.model, input_tensors=images)
        model.set_weights(classifier.model.get_weights())
        model.passport = passports.of(classifier.model)
        return cls(inference_graph.build(model), image_size)

    def predict(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Computes the tensors that OUTPUTS names, float32 [batch, classes].

        Args:
            images: float32 [batch, image_size, image_size, 3], RGB in [0, 255].
        """
        outputs = classify(self.model, images)
        return [outputs[name] for name in OUTPUTS]

    def images(self, batch: int | None) -> tf.TensorSpec:
        """Returns what `predict` takes; None leaves the size of a batch open."""
        shape = [batch, self.image_size, self.image_size, 3]
        return tf.TensorSpec(shape, tf.float32, name="images")

    @property
    def is_small(self) -> bool:
        """Whether the weights are few enough to be constants wherever it is served."""
        return model_layout.size(self.model) <= CONSTANT_BYTES

    def freeze(self, batch: int | None) -> frozen_graph.Predict:
        """Returns `predict` with the weights as constants.

        Args:
            batch: int, images in a batch; None leaves it open.

        Raises:
            ValueError: if the weights are too many for a graph.
        """
        self.check_size()
        return frozen_graph.freeze(self.predict, self.images(batch))

    def check_size(self) -> None:
        """Checks that one graph has room for the weights.

        Raises:
            ValueError: if it has not.
        """
        # The graph takes a few MB beside the weights.
        if model_layout.size(self.model) > frozen_graph.GRAPH_BYTES - 2**26:
            raise ValueError(
                f"model {self.model.name}: its weights do not fit into one graph of "
                "2 GB; allowed is export_formats=saved_model"
            )
