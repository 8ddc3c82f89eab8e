"""The order of training records: a function of the seed and the position."""

import tensorflow as tf

from efficientnet_tf.data import placed, tfrecord


def shuffled_records(
    reader: tfrecord.Split | placed.Placed,
    paths: tf.Tensor,
    *,
    images: int,
    seed: int,
    start: int,
    shuffle_buffer: int,
) -> tf.data.Dataset:
    """Reads pairs (running number, record), from the number `start` on.

    An epoch is `images` records in an order of its own. Skipping to the middle of
    an epoch may read records but decodes no image.

    Args:
        reader: reads the records of files.
        paths: string [files], this host's files as `tfrecord.Split.entry` tells them.
        images: int, records of an epoch.
        seed: int, decides the order together with the epoch.
        start: int, running number of the first record.
        shuffle_buffer: int, records to draw from.
    """
    first_epoch, offset = divmod(start, images)

    @tf.autograph.experimental.do_not_convert
    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        # Sets the seed of this function's graph alone. Otherwise a global seed that the
        # program has set would be mixed into the two below.
        tf.random.set_seed(1)
        seeds = tf.random.stateless_uniform(
            [2], [seed, number], minval=None, maxval=None, dtype=tf.int64
        )
        ordered = tf.data.Dataset.from_tensor_slices(paths).shuffle(
            paths.shape[0], seed=seeds[0], reshuffle_each_iteration=False
        )
        records = reader.records(ordered).shuffle(
            min(shuffle_buffer, images), seed=seeds[1], reshuffle_each_iteration=False
        )
        # A host that has fewer images than its share starts over; one with more stops.
        return records.repeat().take(images)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return epochs.flat_map(epoch).skip(offset).enumerate(start)
