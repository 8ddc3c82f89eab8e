"""Finds the weights in what training scripts save around them.

timm saves {"state_dict": raw, "state_dict_ema": averages}, torchvision {"model": raw,
"model_ema": averages}, each beside an optimizer, an epoch and more.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from efficientnet_tf.weights.torch_pickle import Tensor, shown

# Whether a key means moving averages; the first key that is there is taken.
_WRAPPERS = {
    "state_dict": False,
    "model": False,
    "state_dict_ema": True,
    "model_ema": True,
}
_DEPTH = 2  # a wrapper may be in another one
# Of DataParallel, AveragedModel and torch.compile.
_PREFIXES = ("module.", "_orig_mod.")
# Counters of batches and of averaged steps, which no model uses.
_COUNTERS = ("num_batches_tracked", "n_averaged")
_SHOWN = 8  # keys in one error


@dataclasses.dataclass(frozen=True)
class Found:
    """The tensors of a file that are weights.

    Args:
        tensors: by name.
        averaged: True for moving averages, False for the raw weights beside them, None
            if the file does not tell.
        notes: sentences about what was chosen.
    """

    tensors: dict[str, Tensor]
    averaged: bool | None = None
    notes: tuple[str, ...] = ()


def find(content: Any, *, ema: bool) -> Found:
    """Finds the weights in what a file holds.

    Args:
        content: what was saved, the value that `torch_pickle.load` returns.
        ema: True takes moving averages, False raw weights, if the file has both.

    Raises:
        ValueError: naming the keys of a file that does not say where its weights are.
    """
    if _is_weights(content):
        return Found(content)
    if not isinstance(content, dict):
        kind = type(content).__name__.lower()
        raise ValueError(f"is no dictionary of tensors by name (it is a {kind})")
    known = list(_wrapped(content, _DEPTH))
    raw = next((one for one in known if not one.averaged), None)
    averages = next((one for one in known if one.averaged), None)
    if raw and averages:
        return _choice(raw, averages, ema=ema)
    if averages and not ema:
        raise ValueError(
            f"holds no raw weights, only moving averages ({averages.key}); ema=True "
            "(--weights_ema=true) takes them"
        )
    others = [
        key
        for key, value in content.items()
        if key not in _WRAPPERS and _is_weights(value)
    ]
    taken = raw or averages
    return _alone(taken, others) if taken else _only(content, others)


@dataclasses.dataclass(frozen=True)
class _Wrapped:
    key: str  # "model_ema", or "checkpoint.model"
    tensors: dict[str, Tensor]
    averaged: bool


def _is_weights(value: Any) -> TypeGuard[dict[str, Tensor]]:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) for key in value)
        and all(isinstance(one, Tensor) for one in value.values())
    )


def _wrapped(content: dict, depth: int) -> Iterator[_Wrapped]:
    """Yields the weights under known keys, and under known keys of their values."""
    for key, averaged in _WRAPPERS.items():
        value = content.get(key)
        if _is_weights(value):
            yield _Wrapped(key, value, averaged)
        elif isinstance(value, dict) and depth > 1:
            for inner in _wrapped(value, depth - 1):
                is_average = averaged or inner.averaged
                yield _Wrapped(f"{key}.{inner.key}", inner.tensors, is_average)


def _choice(raw: _Wrapped, averages: _Wrapped, *, ema: bool) -> Found:
    taken, left = (averages, raw) if ema else (raw, averages)
    flag = "false" if ema else "true"
    note = (
        f"took the {_words(taken)} ({taken.key}); --weights_ema={flag} takes the "
        f"{_words(left)} ({left.key})"
    )
    return Found(taken.tensors, ema, (note,))


def _words(one: _Wrapped) -> str:
    return "moving averages" if one.averaged else "raw weights"


def _alone(one: _Wrapped, others: list[str]) -> Found:
    notes = (f"took {one.key} and left out {_keys(others)}",) if others else ()
    return Found(one.tensors, one.averaged or None, notes)


def _only(content: dict, keys: list[str]) -> Found:
    """Takes the only dictionary of tensors in a file without known keys."""
    if len(keys) == 1:
        note = f"took {shown(keys[0])}, the only dictionary of tensors by name"
        return Found(content[keys[0]], notes=(note,))
    if keys:
        raise ValueError(
            f"holds several dictionaries of tensors ({_keys(keys)}); save the one to "
            "load alone"
        )
    raise ValueError(
        f"is no dictionary of tensors by name (its keys: {_keys(list(content))})"
    )


def _keys(keys: list[Any]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return (", ".join(shown(key) for key in keys[:_SHOWN]) or "none") + more


def strip(names: Iterable[str]) -> dict[str, str]:
    """Maps names to those of the model, without the prefixes that all of them have.

    Args:
        names: the file's names; counters of averaged steps need no prefix.
    """
    short = {name: name for name in names}
    weights = [name for name in short if not is_counter(name)]
    while prefix := next((p for p in _PREFIXES if _all_begin(short, weights, p)), None):
        short = {name: short[name].removeprefix(prefix) for name in short}
    return short


def _all_begin(short: dict[str, str], names: list[str], prefix: str) -> bool:
    return bool(names) and all(short[name].startswith(prefix) for name in names)


def is_counter(name: str) -> bool:
    """Whether a tensor counts batches or averaged steps, and is no weight."""
    return name.endswith(_COUNTERS)
