"""Networks of keras.applications beside ours, in float64.

Deep networks with random weights magnify rounding in float32 until a comparison shows
nothing; Keras rounds 1 / 127.5 to float32 under every policy. So there are two
comparisons: of the pixels that the first convolution gets, and of the networks' outputs
for equal pixels.
"""

import keras
import numpy as np
import weight_helpers

# Networks whose pixels must be prepared first; the others prepare them themselves.
PREPARE = {
    "mobilenet": keras.applications.mobilenet.preprocess_input,
    "resnet": keras.applications.resnet.preprocess_input,
}


def prepared(name, x):
    """Pixels as a network of keras.applications takes them."""
    prepare = PREPARE.get(name.split("-")[0])
    return prepare(x.copy()) if prepare else x


def normalised(name, theirs, x):
    """The same pixels as its first convolution gets them, red first."""
    ready = prepared(name, x)
    if name.startswith("efficientnet"):
        names = [layer.name for layer in theirs.layers]
        first = "stem_conv_pad" if "stem_conv_pad" in names else "stem_conv"
        start = theirs.get_layer(first).input
        ready = np.asarray(keras.Model(theirs.input, start)(ready))
    return ready[..., ::-1] if name.startswith("resnet") else ready  # theirs is BGR


def assert_same_function(name, ours, theirs, pixels):
    """Both normalise pixels to the same values, and these give the same outputs."""
    pixels = pixels.astype("float64")
    preprocessing = ours.get_layer("preprocessing")
    ready = normalised(name, theirs, pixels)
    assert_same_values(weight_helpers.outputs(preprocessing, pixels), ready)
    network = keras.Model(preprocessing.output, ours.output)
    weight_helpers.assert_same_outputs(
        weight_helpers.outputs(network, ready),
        weight_helpers.outputs(theirs, prepared(name, pixels)),
    )


def assert_same_values(got, expected):
    """Pixels are normalised alike.

    Float32 rounds two constants and two results by 2**-24, which makes 5e-7 at most.
    Statistics of other training data differ by 1e-2.
    """
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-5 * scale)
