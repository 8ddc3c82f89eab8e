"""Top predictions for image files."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.data import preprocess

_BATCH = 32  # images at once, as Keras's predict


def predict_files(
    model: keras.Model,
    paths: Sequence[str],
    *,
    image_size: int,
    crop_fraction: float,
    resize: str = "bicubic",
    label_offset: int = 0,
    top_k: int = 5,
) -> list[dict]:
    """Classifies image files with evaluation's preprocessing.

    Args:
        model: from pixels to logits.
        paths: JPEG, PNG, GIF or BMP files.
        image_size: height and width the model takes.
        crop_fraction: see `preprocess.decode_and_center_crop`.
        resize: see `preprocess.decode_and_center_crop`.
        label_offset: classes before the first label; they count as -1 and below.
        top_k: how many classes to rank; at most all.

    Returns:
        For each file {"file", "predictions": [{"class", "probability"}, ...]}, most
        likely first, classes from 0 after the offset.

    Raises:
        ValueError: naming the first file that is missing or no image, before the
            model runs.
    """
    preparation = {
        "image_size": image_size,
        "fraction": crop_fraction,
        "resize": resize,
    }
    images = [read_image(path, **preparation) for path in paths]
    probabilities = tf.nn.softmax(_logits(model, images))
    ranked = tf.math.top_k(probabilities, k=min(top_k, probabilities.shape[-1]))
    return [
        {
            "file": path,
            "predictions": [
                {"class": int(label) - label_offset, "probability": float(probability)}
                for label, probability in zip(labels, values, strict=True)
            ],
        }
        for path, labels, values in zip(
            paths, ranked.indices.numpy(), ranked.values.numpy(), strict=True
        )
    ]


def _logits(model: keras.Model, images: Sequence[tf.Tensor]) -> tf.Tensor:
    """Float [images, classes], from one graph for all batches.

    Keras's predict compiles with XLA wherever there is a device other than a CPU;
    TensorFlow's TPU build has no XLA for the CPU.
    """
    pixels = tf.TensorSpec([None, *images[0].shape], images[0].dtype)
    call = tf.function(
        lambda batch: model(batch, training=False),
        input_signature=[pixels],
        autograph=False,
    )
    starts = range(0, len(images), _BATCH)
    batches = (tf.stack(images[start : start + _BATCH]) for start in starts)
    return tf.concat([call(batch) for batch in batches], axis=0)


def read_image(path: str, **preparation) -> tf.Tensor:
    """Reads one file as evaluation does.

    Args:
        path: JPEG, PNG, GIF or BMP file, local or in a bucket.
        **preparation: see `preprocess.decode_and_center_crop`.

    Returns:
        uint8 [image_size, image_size, 3], RGB.

    Raises:
        ValueError: naming a file that is missing or no image.
    """
    files.check_name(path, label="image file ")
    try:
        encoded = tf.io.read_file(path)
        return preprocess.decode_and_center_crop(encoded, **preparation)
    except tf.errors.NotFoundError:
        raise ValueError(f"image file {path} does not exist") from None
    except tf.errors.OpError as error:
        refused = files.why_refused(error)
        if refused:
            raise ValueError(f"image file {refused}") from None
        raise ValueError(
            f"image file {path} cannot be decoded ({error.message}); allowed are JPEG, "
            "PNG, GIF and BMP"
        ) from None
