"""--mode=check: reads all data once, and lists what is wrong with it."""

import itertools
from collections.abc import Iterable, Sequence

from efficientnet_tf import label_sets, progress
from efficientnet_tf.config import Config
from efficientnet_tf.data import bad_records, check, sources
from efficientnet_tf.data.settings import Labels
from efficientnet_tf.training import build

_SHOWN = 20  # lines of a kind; --json has all


def run(*, config: Config) -> dict:
    """Checks the data of a run, and prints what was found.

    Args:
        config: names the data, the number of classes and how to read them.

    Returns:
        "failed" (whether anything is wrong), "num_classes" (labels of the data),
        "splits" (by name: "images", "bad", "classes" (images of each class),
        "short_sides" (images by pixels), "smallest" and "largest", height and width in
        pixels), "faults" ("split", "file", "record" from 0, or None for an image file,
        and "reason"), "duplicates" (groups with the same bytes: "split", "file",
        "record" and "labels"), "duplicates_between_splits" and
        "duplicates_of_other_labels" (numbers of such groups), and
        "classes_without_images" (names of those that no training image has).

    Raises:
        ValueError: if the data is not there, or is made up.
    """
    source = build.open_source(config, bad_records.BadRecords(limit=None))
    if not isinstance(source, sources.Files):
        raise ValueError(f"dataset={config.dataset}: holds no data that can be wrong")
    splits = source.splits
    total = sum(
        s.images for s in (splits.train, splits.minival, splits.validation) if s
    )
    with progress.Images(total) as counted:
        found = check.check(splits, config.section(Labels), progress=counted.add)
    names = label_sets.output_names(
        splits.class_names, outputs=found.labels, label_offset=0
    )
    result = _result(found, names)
    _print(result)
    return result


def _result(found: check.Report, names: Sequence[str]) -> dict:
    bad = [fault["split"] for fault in found.faults]
    return {
        "failed": found.failed,
        "num_classes": found.labels,
        "splits": {
            split.name: {
                "images": split.images,
                "bad": bad.count(split.name),
                "classes": {names[n]: count for n, count in _sorted(split.classes)},
                "short_sides": dict(_sorted(split.sides)),
                "smallest": split.smallest,
                "largest": split.largest,
            }
            for split in found.splits
        },
        "faults": found.faults,
        "duplicates": [[_twin(twin, names) for twin in g] for g in found.twins],
        "duplicates_between_splits": len(found.leaks),
        "duplicates_of_other_labels": len(found.contradictions),
        "classes_without_images": [names[label] for label in found.unseen],
    }


def _sorted(counts: dict[int, int]) -> list[tuple[int, int]]:
    return sorted(counts.items())


def _twin(twin: check.Twin, names: Sequence[str]) -> dict:
    return {
        "split": twin.split,
        "file": twin.place.file,
        "record": twin.place.record,
        "labels": [names[label] for label in twin.labels],
    }


def _print(result: dict) -> None:
    for name, split in result["splits"].items():
        counts = split["classes"].values()
        print(
            f"{name:14}{split['images']} images, {split['bad']} bad; {len(counts)} of "
            f"{result['num_classes']} classes with {min(counts, default=0)} to "
            f"{max(counts, default=0)} images; {_pixels(split['smallest'])} to "
            f"{_pixels(split['largest'])} pixels"
        )
    _print_list(
        "bad",
        [f"{_place(fault)}: {fault['reason']}" for fault in result["faults"]],
    )
    _print_list("duplicates", map(_in_words, result["duplicates"]))
    unseen = result["classes_without_images"]
    _print_list("no images", [f"class {name}" for name in unseen])
    print("wrong: see above" if result["failed"] else "nothing is wrong")


def _in_words(group: list[dict]) -> str:
    told = (f"{t['split']} {_place(t)} ({', '.join(t['labels'])})" for t in group)
    return " = ".join(told)


def _place(row: dict) -> str:
    name = label_sets.printable(row["file"])
    return name if row["record"] is None else f"{name}#{row['record']}"


def _pixels(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "no"


def _print_list(kind: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    for line in itertools.islice(lines, _SHOWN):
        print(f"{kind:14}{line}")
    if len(lines) > _SHOWN:
        print(f"{kind:14}and {len(lines) - _SHOWN} more; --json lists all")
