"""Tar files as ImageNet's, of a few small images."""

import io
import pathlib
import tarfile

import folder_support

# Synsets, and their ILSVRC2012_IDs by the development kit: not in the same order.
CLASSES = {"n01440764": 449, "n01751748": 490, "n02119789": 1}
NAMES = ("tench", "sea snake", "kit fox")
TRAIN, VALIDATION = (5, 4, 6), (1, 3, 2)  # images of each class


def write(folder: pathlib.Path, *, labels: str | None = None) -> None:
    """The two tar files and the labels of the validation images.

    The images' numbers, which `folder_support.encode` takes, tell them apart.
    """
    folder.mkdir(exist_ok=True)
    classes, number = {}, 0
    for synset, count in zip(CLASSES, TRAIN, strict=True):
        numbers = range(number, number + count)
        classes[f"{synset}.tar"] = pack(
            {f"{synset}_{n}.JPEG": folder_support.encode(n) for n in numbers}
        )
        number += count
    (folder / "ILSVRC2012_img_train.tar").write_bytes(pack(classes))
    truth = [
        synset for s, n in zip(CLASSES, VALIDATION, strict=True) for synset in [s] * n
    ]
    images = {
        f"ILSVRC2012_val_{n:08d}.JPEG": folder_support.encode(100 + n)
        for n in range(1, 1 + len(truth))
    }
    (folder / "ILSVRC2012_img_val.tar").write_bytes(pack(images))
    if labels is None:
        labels = "".join(f"{CLASSES[synset]}\n" for synset in truth)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(labels)


def pack(content: dict[str, bytes], mode: str = "w") -> bytes:
    """Returns a tar file, in an order that is not that of the names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name in sorted(content, reverse=True):
            member = tarfile.TarInfo(name)
            member.size = len(content[name])
            tar.addfile(member, io.BytesIO(content[name]))
    return buffer.getvalue()
