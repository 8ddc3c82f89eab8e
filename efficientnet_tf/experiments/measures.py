"""The cost of a network where it runs: measured here, or planned for a TPU.

Both are measures for `scaling.budget.fit_to_budget`.
"""

from efficientnet_tf import config as config_lib
from efficientnet_tf.export import latency
from efficientnet_tf.models.efficientnet import EfficientNet
from efficientnet_tf.planning import plan
from efficientnet_tf.runs import run_model
from efficientnet_tf.variants import Variant


def latency_ms(variant: Variant) -> float:
    """Measures a network's milliseconds an image, as a SavedModel on one CPU core."""
    return 1000 * latency.measure(EfficientNet(variant), runtime="saved_model").mean_s


def tpu_memory(variant: Variant) -> float:
    """Plans the bytes of a v5e's memory that the recipe's step with 128 images takes.

    The TPU's own compiler plans it, which takes a minute or more.

    Returns:
        The bytes planned; twice a v5e's memory if the step does not fit.
    """
    config = config_lib.create(
        dataset="fake",
        train_batch_size=128,
        image_size=variant.resolution,
        dropout_rate=variant.dropout,
    )
    planned = plan.plan(
        config,
        chip="v5e",
        make_model=lambda: run_model.create(
            config, policy="mixed_bfloat16", variant=variant
        ),
    )
    return planned.hbm_bytes or 2 * planned.hbm_limit_bytes


MEASURES = {"latency_ms": latency_ms, "tpu_memory": tpu_memory}
