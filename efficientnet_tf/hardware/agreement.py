"""Lets the processes of a run, one on each host, come to the same decisions.

All hosts take part in a step, so all must decide alike whether and how a run goes on.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from efficientnet_tf.hardware import hosts

# Errors of a collective whose other process is gone, hangs or was started anew.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
)
_TASK = re.compile(r"/job:(chief|worker)/(?:replica:0/)?task:(\d+)")


class Hosts:
    """The hosts of a run as one of them sees them.

    All hosts must call every method, in the same order. Where there is one process, as
    with any strategy but MultiWorkerMirroredStrategy, nothing is sent.

    Args:
        strategy: the strategy that `devices.make_strategy` made.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self._names, self._number = ["worker 0"], 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self._names, self._number = _names(strategy.cluster_resolver)
        # One function for one shape, or TensorFlow would trace it anew each time.
        self._sum = tf.function(
            lambda row: strategy.reduce(tf.distribute.ReduceOp.SUM, row, axis=None)
        )

    @property
    def count(self) -> int:
        """The number of hosts."""
        return len(self._names)

    @property
    def number(self) -> int:
        """The number of this host; the chief's is 0."""
        return self._number

    @property
    def is_chief(self) -> bool:
        """Whether this host writes the run's files and prints."""
        return self._number == 0

    def any(self, is_so: bool) -> bool:
        """Whether a condition holds on any host."""
        return bool(self._gather(float(is_so)).any())

    def wait(self) -> None:
        """Waits until all hosts have called this method."""
        self._gather(0.0)

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Raises ValueError on every host, naming the first fact that differs.

        Args:
            facts: facts of this host by the words that name them.
        """
        if self._differing(str(facts)) is None:
            return
        for about, fact in facts.items():
            other = self._differing(f"{about} {fact}")
            if other:
                raise ValueError(
                    f"{about} differs between {other} and {self._names[0]} (on this "
                    f"host: {fact}); all hosts take the same command, the same data "
                    "and one --model_dir that they share"
                )

    def _differing(self, fact: str) -> str | None:
        """Returns the first host whose fact differs from the chief's."""
        # 48 bits of a hash: exact in float64, and hardly ever equal for two facts.
        digest = hashlib.sha256(fact.encode()).hexdigest()[:12]
        digests = self._gather(float(int(digest, 16)))
        (others,) = np.nonzero(digests != digests[0])
        return self._names[others[0]] if others.size else None

    def _gather(self, value: float) -> np.ndarray:
        """Gathers a number from every host: a sum to which all others add zeros."""
        if self.count == 1:
            return np.array([value])
        row = np.zeros([self.count])
        row[self._number] = value
        replicas = self._strategy.num_replicas_in_sync // self.count

        def give(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            first = context.replica_id_in_sync_group % replicas == 0
            return tf.constant(row if first else np.zeros_like(row))

        given = self._strategy.experimental_distribute_values_from_function(give)
        return self._sum(given).numpy()


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy) -> Iterator[Hosts]:
    """Yields the hosts, and at the end waits until all hosts have come there.

    Raises:
        hosts.HostLostError: in one line, if a host is lost meanwhile.
    """
    ours = Hosts(strategy)
    with lost_in_one_line(alone=ours.count == 1):
        yield ours
        ours.wait()


@contextlib.contextmanager
def lost_in_one_line(*, alone: bool = False) -> Iterator[None]:
    """Replaces TensorFlow's many lines about a lost host by one that names it.

    Args:
        alone: whether there are no other hosts, so that none can be lost.

    Raises:
        hosts.HostLostError: in place of the collectives' errors.
    """
    try:
        yield
    except _LOST as error:
        if alone:
            raise
        text = error.message.rpartition("Collective ops is aborted by: ")[2]
        task = _TASK.search(text)
        lost = " ".join(task.groups()) if task else "another host"
        cause = text.partition("\n")[0].rstrip(":")
        raise hosts.HostLostError(
            f"{lost} is lost ({cause}); its own output may say why: start all hosts "
            "again, with the same commands, to continue from the latest checkpoint"
        ) from error


def _names(
    resolver: tf.distribute.cluster_resolver.ClusterResolver,
) -> tuple[list[str], int]:
    """Returns all hosts' names, the chief's first, and this host's place among them."""
    jobs = resolver.cluster_spec().as_dict()
    names = [
        f"{job} {index}"
        for job in ("chief", "worker")
        for index in range(len(jobs.get(job, ())))
    ]
    return names, names.index(f"{resolver.task_type} {resolver.task_id}")
