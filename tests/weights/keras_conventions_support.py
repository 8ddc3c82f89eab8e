"""Small networks of other conventions, and files of them as Keras's users save them."""

import dataclasses

import headless
import keras
import numpy as np
import weight_helpers as helpers
from weight_helpers import images

import efficientnet_tf as en
from efficientnet_tf import variants

TEST = "efficientnet-test"
BLOCK = "r1_k3_s22_e1_i8_o8_se0.25"
SMALL = {"classes": 3, "input_shape": (16, 16, 3), "blocks": (BLOCK,)}
OTHER_PIXELS = variants.Pixels((127.5,) * 3, (60.0, 61.0, 62.0), "bilinear")


def changed(**changes):
    return dataclasses.replace(en.get_variant(TEST), **changes)


def saved(model, path, *, keep_passport=False):
    """Saves as a user of Keras does; older versions wrote no passport."""
    return headless.save(model if keep_passport else forgetful(model), path)


def forgetful(model):
    """The same model without this package's hooks: what Keras has loaded."""
    twin = keras.models.model_from_json(model.to_json())
    twin.set_weights(model.get_weights())
    return twin


OTHER = {"pixels": OTHER_PIXELS, "padding": "symmetric", "batch_norm_epsilon": 0.5}


def assert_alike(ours, theirs, x=None):
    x = images(16) if x is None else x
    np.testing.assert_allclose(
        helpers.outputs(ours, x), helpers.outputs(theirs, x), rtol=1e-4, atol=1e-6
    )
