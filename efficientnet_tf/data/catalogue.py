"""Facts of the data sets that are known without reading an image; no TensorFlow."""

from typing import Any

from efficientnet_tf.data import folder, tfds_table

_FACTS = {
    "digits": {"num_classes": 10},
    # The paper holds out 25,022 images; 20 of the 1,024 shards hold exactly that.
    "imagenet": {"num_classes": 1000, "minival_shards": 20},
    "fake": {"num_classes": 1000, "minival_shards": 0},
}


def facts(
    dataset: str,
    data_dir: str | None,
    *,
    num_classes: int | None = None,
    label_offset: int = 0,
) -> dict[str, Any]:
    """Returns the settings that a data set decides; a folder's classes are counted.

    Args:
        dataset: the setting of that name, see `data.settings.Data`.
        data_dir: the data set's folder; None where none is named.
        num_classes: int, outputs of the network; None if the user chose no number.
        label_offset: int, outputs before the first label.

    Raises:
        ValueError: if the number of classes chosen is not the data's, or unknown.
    """
    labels = None if num_classes is None else num_classes - label_offset
    if dataset == "folder" and data_dir is not None:
        layout = folder.find_layout(data_dir, num_classes=labels)
        return {"num_classes": len(layout.classes) + label_offset}
    name = tfds_table.name_of(dataset)
    if name is None:
        return dict(_FACTS.get(dataset, {}))
    row = tfds_table.find(name)
    if row is None and labels is None:
        raise ValueError(
            f"num_classes is missing: dataset=tfds:{name} is not among those whose "
            f"classes are known, {', '.join(tfds_table.ROWS)}"
        )
    if row is None:
        return {}
    if labels not in (None, row.classes):
        raise ValueError(
            f"num_classes={num_classes}: dataset=tfds:{name} has {row.classes} "
            "classes; the two must agree"
        )
    return {"num_classes": row.classes + label_offset}


def train_images(dataset: str, data_dir: str | None) -> int | None:
    """Returns the number of training images; None if it is not known without reading.

    Args:
        dataset: the setting of that name, see `data.settings.Data`.
        data_dir: the data set's folder; None where none is named.
    """
    if dataset == "folder" and data_dir is not None:
        layout = folder.find_layout(data_dir)
        files = layout.train and folder.list_images(layout.train, layout.classes)
        return len(files) if files else None
    row = tfds_table.find(tfds_table.name_of(dataset) or "")
    return row.train_images if row else None
