"""The record files of a split by their names: which there are, and which are missing.

`train-00000-of-00004` to `train-00003-of-00004` are complete, with or without an ending
such as `.tfrecord`. Names without `-of-` are taken as they are. No TensorFlow.
"""

import os
import re
from collections.abc import Sequence

from efficientnet_tf.data import inventory

_NUMBERED = re.compile(r"(?P<number>\d+)-of-(?P<total>\d+)(?P<ending>.*)")
_RECORDS = re.compile(r"(\.(tfrecords?|tfrec|records?|gz|gzip))*", re.IGNORECASE)
# What other programs leave beside the files that they write.
_STRANGERS = re.compile(
    r".*(\.(idx|index|crc|crc32c|md5|sha1|sha256|json|txt|csv|log|lock|old|bak|orig"
    r"|tmp|temp|part|partial|crdownload|download|swp|tar|zip)|~|\.tmp[-.\w]*)",
    re.IGNORECASE,
)

_BESIDE = "beside the record files, by the ending of the name"


def select(paths: Sequence[str], split: str, tally: inventory.Tally) -> tuple[str, ...]:
    """Returns the files that hold a split's records, sorted by name.

    Args:
        paths: files, whose names begin with the split's name and "-".
        split: "train" or "validation".
        tally: counts the files that hold no records of the split.

    Raises:
        ValueError: naming shards that are missing, or that are there twice.
    """
    found: dict[str, re.Match | None] = {}
    for path in sorted(paths):
        name = os.path.basename(path)
        if _STRANGERS.fullmatch(name):
            tally.add(_BESIDE, path)
        else:
            found[path] = _NUMBERED.fullmatch(name.removeprefix(f"{split}-"))
    numbered = {path: match for path, match in found.items() if match}
    sure = {p: m for p, m in numbered.items() if _RECORDS.fullmatch(m["ending"])}
    taken = sure or numbered
    if not taken:
        return tuple(found)
    for path in found:
        if path not in taken:
            tally.add(_BESIDE, path)
    _check_complete({p: (int(m["number"]), int(m["total"])) for p, m in taken.items()})
    return tuple(taken)


def _check_complete(numbered: dict[str, tuple[int, int]]) -> None:
    """Raises ValueError unless each number of one total is there once."""
    first, (_, total) = next(iter(numbered.items()))
    seen: dict[int, str] = {}
    for path, (number, of) in numbered.items():
        if of != total:
            raise ValueError(
                f"{first} is one of {total} shards and {os.path.basename(path)} one of "
                f"{of}; keep one set of shards in the folder"
            )
        if number in seen:
            raise ValueError(
                f"{seen[number]} and {os.path.basename(path)} are the same shard; keep "
                "one of them"
            )
        if number >= total:
            raise ValueError(f"{path}: has a number beyond the last, {total - 1}")
        seen[number] = path
    missing = [number for number in range(total) if number not in seen]
    if missing:
        raise ValueError(
            f"{os.path.dirname(first)}: {_named(missing)} of {total} shards "
            f"{'is' if len(missing) == 1 else 'are'} missing beside "
            f"{os.path.basename(first)}; copy the data set again"
        )


def _named(numbers: Sequence[int]) -> str:
    """Returns the first few numbers in words, and how many more there are."""
    told = ", ".join(f"{number:05d}" for number in numbers[:5])
    return told + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
