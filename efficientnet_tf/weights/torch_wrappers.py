"""Finds the weights in what training scripts save around them.

timm saves {"state_dict": raw, "state_dict_ema": averages}, torchvision {"model": raw,
"model_ema": averages}, others use other keys, each beside an optimizer, an epoch and
more. Lightning has both kinds in one dictionary, under the prefixes of attributes.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, Generic, NoReturn, TypeVar

from efficientnet_tf.weights import torch_names, wrapped_names
from efficientnet_tf.weights.torch_pickle import Tensor
from efficientnet_tf.weights.words import shown

T = TypeVar("T")
# Keys that a file may hold its weights under without a word about it.
_KEYS = {"state_dict", "model", "state_dict_ema", "model_ema"}
# Words of a key or a prefix that mean averages.
_AVERAGES = {"ema", "swa", "averaged", "averages", "average", "avg"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DEPTH = 6  # dictionaries in one another
# Counters of batches and of averaged steps, which no model uses.
_AVERAGED_STEPS = "n_averaged"
_COUNTERS = ("num_batches_tracked", _AVERAGED_STEPS)
_SHOWN = 8  # keys in one error


@dataclasses.dataclass(frozen=True)
class Found(Generic[T]):
    """The tensors of a file that are weights.

    Args:
        tensors: by the network's names; those beside it by the file's names.
        averaged: True for moving averages, False for the raw weights beside them, None
            if the file does not tell.
        notes: sentences about what was chosen.
    """

    tensors: dict[str, T]
    averaged: bool | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Dictionary(Generic[T]):
    """Tensors by name, and the keys that lead to them."""

    keys: tuple[str, ...]
    tensors: dict[str, T]


@dataclasses.dataclass(frozen=True)
class _Candidate(Generic[T]):
    """A network that a file holds.

    Args:
        where: keys and prefix, for the user: "model_ema", "checkpoint.model".
        expected: whether weights are often saved under these keys.
        averaged: whether keys, prefix or a counter say that they are averages.
        tensors: as in `Found`.
        notes: a sentence about the prefix.
    """

    where: str
    expected: bool
    averaged: bool
    tensors: dict[str, T]
    notes: tuple[str, ...]


def find(content: Any, *, ema: bool) -> Found[Tensor]:
    """Finds the weights in what a file holds.

    Args:
        content: what was saved, the value that `torch_pickle.load` returns.
        ema: True takes moving averages, False raw weights, if the file has both.

    Returns:
        The weights, or all tensors of a dictionary in which no network is known.

    Raises:
        ValueError: naming the keys of a file that does not say where its weights are.
    """
    dictionaries = list(_dictionaries(content))
    candidates = [one for each in dictionaries for one in _candidates(each)]
    if not candidates:
        if [one.keys for one in dictionaries] == [()]:
            return Found(dictionaries[0].tensors)
        _refuse(content, dictionaries)
    found = _choice(candidates, ema=ema)
    left = [key for key in content if _holds_averages(key, content[key])]
    if left and found.averaged is None:
        note = f"left out {_listed(left)}, in which no network is known"
        return dataclasses.replace(found, notes=(*found.notes, note))
    return found


def find_names(names: Iterable[str], *, ema: bool) -> Found[str]:
    """Finds the weights in a file without dictionaries, by its names.

    Args:
        names: the file's names.
        ema: as in `find`.

    Returns:
        The file's names as the values of `tensors`; all of them if no network is known.

    Raises:
        ValueError: naming networks of which the file holds several.
    """
    dictionary = _Dictionary((), {name: name for name in names})
    candidates = list(_candidates(dictionary))
    return _choice(candidates, ema=ema) if candidates else Found(dictionary.tensors)


def is_counter(name: str) -> bool:
    """Whether a tensor counts batches or averaged steps, and is no weight."""
    return name.endswith(_COUNTERS)


def _dictionaries(content: Any) -> Iterator[_Dictionary[Tensor]]:
    """Yields the dictionaries with tensors by name, the outer ones first."""
    seen = set()  # one dictionary may be under several keys
    start: tuple[tuple[str, ...], Any] = ((), content)
    waiting = collections.deque([start])
    while waiting:
        keys, value = waiting.popleft()
        if not isinstance(value, dict) or id(value) in seen:
            continue
        seen.add(id(value))
        items = [(key, one) for key, one in value.items() if isinstance(key, str)]
        tensors = {key: one for key, one in items if isinstance(one, Tensor)}
        if tensors:
            yield _Dictionary(keys, tensors)
        if len(keys) < _DEPTH:
            waiting.extend(((*keys, key), one) for key, one in items)


def _candidates(dictionary: _Dictionary[T]) -> Iterator[_Candidate[T]]:
    names = [name for name in dictionary.tensors if not is_counter(name)]
    networks = wrapped_names.find(names, torch_names.MARKS, separator=".")
    counters = _counters(dictionary.tensors, networks)
    for network in networks:
        keys = list(dictionary.keys)
        if len(networks) > 1 or not keys:
            keys += [network.prefix.rstrip(".")] if network.prefix else []
        counted = counters[network.prefix]
        short = network.short | counted
        yield _Candidate(
            shown(".".join(keys)) or "the top level",
            expected=_KEYS.issuperset(dictionary.keys),
            averaged=any(map(_means_averages, keys))
            or any(name.endswith(_AVERAGED_STEPS) for name in counted),
            tensors={short[name]: dictionary.tensors[name] for name in short},
            notes=network.notes,
        )


def _means_averages(key: str) -> bool:
    return not _AVERAGES.isdisjoint(word.lower() for word in _WORD.findall(key))


def _holds_averages(key: Any, value: Any) -> bool:
    """Whether something is saved as averages, be it a list without names."""
    is_filled = isinstance(value, (dict, list, tuple)) and len(value) > 0
    return is_filled and isinstance(key, str) and _means_averages(key)


def _counters(
    names: Iterable[str], networks: list[wrapped_names.Network]
) -> dict[str, dict[str, str]]:
    """Returns the counters in each network by its prefix, as `Network.short`."""
    counters: dict[str, dict[str, str]] = {one.prefix: {} for one in networks}
    prefixes = sorted(counters, key=len, reverse=True)
    for name in filter(is_counter, names):
        # AveragedModel counts beside its "module.".
        owners = (p for p in prefixes if name.startswith(p.removesuffix("module.")))
        owner = next(owners, prefixes[0] if len(prefixes) == 1 else None)
        if owner is not None:
            counters[owner][name] = name.removeprefix(owner)
    return counters


def _choice(candidates: list[_Candidate[T]], *, ema: bool) -> Found[T]:
    averages = [one for one in candidates if one.averaged]
    raw = [one for one in candidates if not one.averaged]
    if not (ema or raw):
        raise ValueError(
            f"holds no raw weights, only moving averages ({_places(averages)}); "
            "ema=True (--weights_ema=true) takes them"
        )
    kind, left = (averages, raw) if averages and ema else (raw, averages)
    taken = _only(kind)
    notes = []
    if left:
        flag = str(not ema).lower()
        notes.append(
            f"took the {_words(taken)} ({taken.where}); --weights_ema={flag} takes the "
            f"{_words(left[0])} ({_places(left)})"
        )
    if beside := [one for one in kind if one is not taken]:
        notes.append(f"took {taken.where} and left out {_places(beside)}")
    elif not (left or taken.expected):
        notes.append(f"took {taken.where}, the only network in the file")
    averaged = taken.averaged or (False if averages else None)
    return Found(taken.tensors, averaged, (*notes, *taken.notes))


def _only(candidates: list[_Candidate[T]]) -> _Candidate[T]:
    expected = [one for one in candidates if one.expected] or candidates
    if len(expected) > 1:
        raise ValueError(
            f"holds several networks ({_places(expected)}); save the one to load alone"
        )
    return expected[0]


def _words(one: _Candidate) -> str:
    return "moving averages" if one.averaged else "raw weights"


def _places(candidates: list[_Candidate]) -> str:
    return _listed([one.where for one in candidates])


def _refuse(content: Any, dictionaries: list[_Dictionary]) -> NoReturn:
    """Says what a file holds in which no network is known."""
    if not isinstance(content, dict):
        kind = type(content).__name__.lower()
        raise ValueError(f"is no dictionary of tensors by name (it is a {kind})")
    if not dictionaries:
        raise ValueError(
            f"is no dictionary of tensors by name (its keys: {_listed(list(content))})"
        )
    places = _listed([".".join(one.keys) or "the top level" for one in dictionaries])
    largest = max(dictionaries, key=lambda one: len(one.tensors))
    raise ValueError(f"{unknown(largest.tensors)}; its tensors are in: {places}")


def unknown(names: Iterable[str]) -> str:
    """Words the refusal of a file of no known network; shows three of its names."""
    some = ", ".join(shown(name) for name in sorted(names)[:3])
    return f"its names ({some} ...) are none of timm's, torchvision's or lukemelas'"


def _listed(keys: list[Any]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return (", ".join(shown(key) for key in keys[:_SHOWN]) or "none") + more
