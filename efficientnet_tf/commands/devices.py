"""--mode=devices: a first computation on the hardware, to see that it works."""

import tensorflow as tf

from efficientnet_tf.hardware import agreement, trial


def run(strategy: tf.distribute.Strategy, hosts: agreement.Hosts) -> dict:
    """Computes on every device and prints how many there are.

    Args:
        strategy: the strategy that `devices.make_strategy` made.
        hosts: the hosts of the strategy.

    Returns:
        The result of `trial.compute` on the chief; an empty dict on other hosts.

    Raises:
        ValueError: if a device computes a wrong result.
    """
    result = trial.compute(strategy)
    if not hosts.is_chief:
        return {}
    print(
        f"{result['device']}: {result['replicas']} replicas compute, TensorFlow "
        f"{result['tensorflow']}"
    )
    return result
