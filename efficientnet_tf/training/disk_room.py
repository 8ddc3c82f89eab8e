"""Whether a disk has room for a run's next checkpoint, asked before the first step."""

import shutil

from efficientnet_tf import files
from efficientnet_tf.runs.checkpoints import by_path
from efficientnet_tf.training.state import TrainState


def check(model_dir: str, state: TrainState) -> None:
    """Raises ValueError if a local disk has less room than one checkpoint takes.

    Quotas are not asked; a write says whether they are exceeded.

    Args:
        model_dir: folder of the run, which is there, local or a URL.
        state: what a checkpoint holds.
    """
    if files.is_url(model_dir):
        return
    usage, wanted = shutil.disk_usage(model_dir), size(state)
    if usage.total > 0 and usage.free < wanted:  # some file systems tell nothing
        raise ValueError(
            f"model_dir={model_dir}: a checkpoint takes "
            f"{files.size_in_words(wanted)}, and {files.size_in_words(usage.free)} "
            "are free there; free some space, or name another folder"
        )


def size(state: TrainState) -> int:
    """Returns the bytes of the values of a checkpoint.

    Args:
        state: what a checkpoint holds.
    """
    groups = (
        state.inference_weights(),
        by_path(state.model.weights),
        by_path(state.optimizer.variables),
    )
    variables = [variable for group in groups for variable in group.values()]
    return sum(v.shape.num_elements() * v.dtype.size for v in variables)
