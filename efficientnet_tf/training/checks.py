"""What a run is refused for once its devices are known."""

import tensorflow as tf

from efficientnet_tf.config import Config


def check_batch_sizes(config: Config, strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError unless both batch sizes are multiples of the replicas.

    Args:
        config: configuration of the run.
        strategy: the strategy with the replicas.
    """
    replicas = strategy.num_replicas_in_sync
    for name in ("train_batch_size", "eval_batch_size"):
        size = getattr(config, name)
        if size % replicas:
            raise ValueError(
                f"{name}={size}: allowed is a multiple of the {replicas} devices"
            )


def check_one_host(config: Config, hosts: int) -> None:
    """Raises ValueError if several hosts would need the features of all images.

    Args:
        config: configuration of the run.
        hosts: int, number of hosts.
    """
    for name, value in (("freeze", "backbone"), ("classifier_init", "fitted")):
        if hosts > 1 and getattr(config, name) == value:
            raise ValueError(f"{name}={value}: allowed on one host, not on {hosts}")
