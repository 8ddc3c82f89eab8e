"""Takes the newest checkpoint that can be used, and says which ones cannot."""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.runs.checkpoint_files import Checkpoints
from efficientnet_tf.runs.finiteness import NotFiniteError

# Restoring raises any of these for a damaged file, and two for another network.
_ERRORS = (AssertionError, LookupError, RuntimeError, ValueError, tf.errors.OpError)


def restore(
    checkpoints: Checkpoints, load: Callable[[str], object], *, tells: bool = True
) -> str:
    """Loads the first checkpoint that can be used; prints a line on those before it.

    A checkpoint that is damaged or holds NaN or infinity cannot be used.

    Args:
        checkpoints: the checkpoints, the one to take first.
        load: loads the checkpoint of a path, and raises an error if it cannot.
        tells: whether this host prints the line.

    Returns:
        The path of the checkpoint that was loaded.

    Raises:
        ValueError: naming the checkpoints, if none can be read or if one is of another
            network.
    """
    faults = list(checkpoints.faults)
    for one in checkpoints.found:
        fault = one.fault or _fault(load, one.path)
        if fault is None:
            if faults and tells:
                line = f"warning       {'; '.join(faults)}; taking {one.path}"
                print(line, file=sys.stderr, flush=True)
            return one.path
        faults.append(f"{one.path}: {fault}")
    raise ValueError(
        f"{'; '.join(faults)}; no other checkpoint is there: put back a copy of the "
        "files, or begin another run in another model_dir"
    )


def damage(path: str) -> str | None:
    """Reads a checkpoint wholly, with its checksums; says what is wrong with it.

    NaN and infinity are wrong, but for the record of evaluations: the best loss is
    infinite before the first one.

    Args:
        path: path of its files, without their endings.

    Returns:
        The reason; None if nothing is wrong.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        for name, dtype in reader.get_variable_to_dtype_map().items():
            value = reader.get_tensor(name)
            is_computed = dtype.is_floating and not name.startswith("evaluations/")
            if is_computed and not np.isfinite(value).all():
                return f"{_variable(name)} is not finite"
    except _ERRORS as error:
        if files.why_refused(error):
            raise  # a bucket does not answer; the checkpoint is not damaged
        return f"is damaged ({files.reason(error)})"
    return None


def _variable(name: str) -> str:
    """Returns a variable's path as TensorFlow writes it in a checkpoint's key."""
    return name.partition("/.ATTRIBUTES/")[0].replace(".S", "/")


def _fault(load: Callable[[str], object], path: str) -> str | None:
    """Loads a checkpoint; returns why it could not, if its files are the reason."""
    try:
        with _quiet():
            load(path)
        return None
    except NotFiniteError as error:
        return str(error)
    except tf.errors.UnavailableError:
        raise  # a host or a bucket does not answer; the checkpoint is not damaged
    except _ERRORS as error:
        if files.why_refused(error):
            raise
        reason = files.reason(error)
    with _quiet():
        gc.collect()  # TensorFlow warns of values that a failed restore left out
        found = damage(path)
    if found is None:
        raise ValueError(
            f"checkpoint {path} cannot be restored ({reason}): it is whole, but not of "
            "this run's network; use the settings that it was made with"
        )
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TensorFlow's own lines about a damaged checkpoint from the screen."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
