"""A strategy that lowers the step of one of many replicas, with its all-reduces."""

from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.distribute import distribute_lib, one_device_strategy


class PlannedStrategy(tf.distribute.Strategy):
    """Traces a function as one of many replicas; XLA's all-reduce sums over them.

    The result is the program that each replica compiles; it cannot run here.

    Args:
        replicas: int, number of replicas that the traced function sees.
    """

    def __init__(self, replicas: int):
        super().__init__(_Extended(self, "/cpu:0"))
        self.extended.replicas = replicas


# tf.distribute documents no way to write a strategy; these names are TensorFlow 2.20's.
class _Extended(one_device_strategy.OneDeviceExtended):
    replicas = 1

    @property
    def _num_replicas_in_sync(self) -> int:
        return self.replicas

    def _use_merge_call(self) -> bool:
        return False  # then TensorFlow calls the all-reduce and the update below

    def _replica_ctx_update(
        self, var: Any, fn: Any, args: Any = (), kwargs: Any = None, group: Any = True
    ) -> Any:
        del group
        return fn(var, *args, **(kwargs or {}))

    def _call_for_each_replica(self, fn: Any, args: Any, kwargs: Any) -> Any:
        strategy = self._container_strategy()
        with _ReplicaContext(strategy, replica_id_in_sync_group=0):
            return fn(*args, **kwargs)

    def _replica_ctx_all_reduce(
        self, reduce_op: Any, value: Any, options: Any = None
    ) -> Any:
        del options
        mean = reduce_op == tf.distribute.ReduceOp.MEAN
        scale = 1 / self.replicas if mean else 1
        return tf.nest.map_structure(lambda x: self._all_reduce(x) * scale, value)

    def _all_reduce(self, x: Any) -> Any:
        return gen_xla_ops.xla_all_reduce(
            x,
            group_assignment=tf.constant([list(range(self.replicas))]),
            reduce_op="Add",
            mode="CrossReplica",
        )


class _ReplicaContext(distribute_lib.ReplicaContext):
    @property
    def devices(self) -> tuple[str, ...]:
        return ("/cpu:0",)
