"""Facts that a run's hosts must share; else one waits for ever."""

import dataclasses
import hashlib

from efficientnet_tf import label_sets
from efficientnet_tf.config import Config
from efficientnet_tf.data import sources
from efficientnet_tf.runs import checkpoint_files


def facts(
    config: Config, source: sources.Source, checkpoint: str | None
) -> dict[str, str]:
    """Returns the facts that decide a run's steps, for `agreement.Hosts.require_same`.

    Args:
        config: configuration of the run.
        source: the run's data.
        checkpoint: path of the checkpoint that the run starts from; None for none.
    """
    found = {
        f"--{name}": str(value)
        for name, value in dataclasses.asdict(config).items()
        if name != "data_dir"  # each host may have its own copy of the data
    }
    splits = source.splits
    for split in filter(None, (splits.train, splits.minival, splits.validation)):
        data = f"{split.images} images in {len(split.files)} files"
        found[f"the {split.name} data"] = data
    names = label_sets.dumps(splits.class_names or ()).encode()
    found["the names of the classes"] = f"SHA-256 {hashlib.sha256(names).hexdigest()}"
    step = None if checkpoint is None else checkpoint_files.step_of(checkpoint)
    told = "none" if step is None else f"step {step}"
    return found | {"the checkpoint in --model_dir": told}
