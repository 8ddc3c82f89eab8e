"""Reads the pickles in PyTorch's files without running them.

A pickle is a program that may name and call any function. This machine imports nothing:
it knows plain data and PyTorch's dense tensors, and raises an error at any other name.
Sources: pickletools.py of Python, torch/serialization.py and torch/_utils.py.
"""

import dataclasses
import io
import pickletools
import struct
from collections.abc import Callable
from typing import Any

from efficientnet_tf.weights import torch_refusals
from efficientnet_tf.weights.words import shown

# NumPy's type of each of PyTorch's, without the byte order. NumPy has no bfloat16,
# whose bits are the upper half of a float32's.
DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}
_STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.storage.UntypedStorage": "uint8",
}
_TYPES = {f"torch.{name}": name for name in DTYPES}
# A network has about 30 operations for each tensor, and an optimizer has twice as many.
_MOST_OPERATIONS = 1_000_000
_MOST_MARKS = 1000
_MOST_VALUES = 1 << 63
_LARGEST_KEY = 1 << 32


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers outside the pickle."""

    key: str
    dtype: str  # a name in `DTYPES`
    count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage, as the pickle states it; nothing is checked yet."""

    storage: Any
    dtype: Any
    offset: Any
    shape: Any
    strides: Any


@dataclasses.dataclass(frozen=True)
class _Name:
    """A class, function or type that the pickle names."""

    name: str


@dataclasses.dataclass(frozen=True)
class Pickle:
    """What a pickle holds.

    Args:
        value: dict (ordered ones too), list, tuple, str, int, float, bool and None,
            with a `Tensor` for each tensor and parameter.
        storages: the storages that it names, by key.
    """

    value: Any
    storages: dict[str, Storage]


def load(stream: io.BytesIO) -> Pickle:
    """Reads one pickle from a stream, to its end.

    Raises:
        ValueError: naming what is neither plain data nor a dense tensor, or saying that
            the pickle is damaged.
    """
    machine = _Machine()
    try:
        return Pickle(machine.run(stream), machine.storages)
    except _Refused:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, struct.error) as error:
        reason = f"{type(error).__name__}: {shown(error)}"
        raise ValueError(f"its pickle is damaged ({reason})") from None


class _Refused(ValueError):
    """Something that the pickle holds, and may not hold."""


class _Machine:
    """The stack of pickle's protocols 2 to 5; marks divide it into parts."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the parts below each mark
        self._memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self._operations = 0

    def run(self, stream: io.BytesIO) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            self._count(1)
            if opcode.name in _PUSHED:
                self._stack.append(argument)
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            else:
                named = f" ({shown(argument)})" if argument is not None else ""
                raise _Refused(
                    f"its pickle has the operation {opcode.name}{named}, which plain "
                    "data and tensors do not need; nothing of it was run"
                )
        return self._stack.pop()

    def _count(self, operations: int) -> None:
        self._operations += operations
        if self._operations > _MOST_OPERATIONS:
            raise _Refused(f"its pickle has more than {_MOST_OPERATIONS} operations")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self) -> None:
        if len(self._below) >= _MOST_MARKS:
            raise _Refused(f"its pickle is nested more than {_MOST_MARKS} deep")
        self._below.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        """Removes what was pushed since the last mark, and the mark."""
        found, self._stack = self._stack, self._below.pop()
        return found

    def tuple_of(self, length: int) -> None:
        if len(self._stack) < length:
            raise IndexError("the stack is empty")
        items = self._stack[-length:]
        self._stack[-length:] = [tuple(items)]

    def remember(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def remember_next(self) -> None:
        self.remember(len(self._memo))

    def recall(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def extend(self, values: list[Any]) -> None:
        _checked(self._stack[-1], list, "list").extend(values)

    def set_items(self, keys_and_values: list[Any]) -> None:
        target = _checked(self._stack[-1], dict, "dictionary")
        keys = keys_and_values[::2]
        for key, value in zip(keys, keys_and_values[1::2], strict=True):
            target[_key(key)] = value

    def pop(self, count: int) -> list[Any]:
        self.tuple_of(count)
        return list(self._stack.pop())

    def name(self, module: Any, name: Any) -> None:
        full = f"{_checked(module, str, 'name')}.{_checked(name, str, 'name')}"
        if full not in _KNOWN:
            does, instead = torch_refusals.refusal(full)
            # In a dictionary, a value's name follows its key.
            key = self._stack[-1] if self._stack else None
            place = f" at {shown(key)}" if isinstance(key, str) else ""
            raise _Refused(
                f"its pickle names {shown(full)}, which {does}{place}; nothing of it "
                f"was run. Save {instead}"
            )
        self._stack.append(_Name(full))

    def call(self) -> None:
        called, arguments = self.pop(2)
        arguments = _checked(arguments, tuple, "tuple")
        if called == _ORDERED and arguments:  # Python 2's list of pairs
            self._count(len(arguments[0]))
        self._stack.append(_CALLS[_checked(called, _Name, "name").name](*arguments))

    def drop_state(self) -> None:
        """Drops attributes of an ordered dictionary, such as `_metadata`."""
        target, state = self.pop(2)
        _checked(state, dict, "dictionary")
        self._stack.append(_checked(target, dict, "dictionary"))

    def storage(self) -> None:
        stated = _checked(self._stack.pop(), tuple, "tuple")
        # The device and, in files of the old format, the storage that it is a part of.
        (kind, stored, key, _, count), view = stated[:5], stated[5:]
        if kind != "storage" or type(key) is not str or type(count) is not int:
            raise TypeError("a storage of another kind")
        if not 0 <= count < _MOST_VALUES:
            raise _Refused(f"storage {shown(key)} has {shown(count)} values")
        if view not in ((), (None,)):
            raise _Refused(f"storage {shown(key)} is a part of another storage")
        dtype = _STORAGES[stored.name]
        found = self.storages.setdefault(key, Storage(key, dtype, count))
        if found != Storage(key, dtype, count):
            raise _Refused(f"storage {shown(key)} has two types or sizes")
        self._stack.append(found)


def _checked(value: Any, kind: Any, words: str) -> Any:
    if not isinstance(value, kind):
        raise _Refused(
            f"its pickle is damaged ({type(value).__name__} where a {words} belongs)"
        )
    return value


def _key(key: Any) -> str | int:
    # Numbers of any size could be chosen to collide in a dictionary.
    if not isinstance(key, (str, int)):
        kind = type(key).__name__
        raise _Refused(f"has a {kind} as a key, where the name of a weight belongs")
    if isinstance(key, int) and abs(key) > _LARGEST_KEY:
        raise _Refused("its pickle has a number above 2**32 as a key")
    return key


def _ordered(pairs: Any = ()) -> dict:
    return {_key(key): value for key, value in _checked(pairs, (tuple, list), "list")}


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> Tensor:
    del grad, hooks
    if metadata:
        raise _Refused("a tensor is stored as its conjugate or its negative")
    dtype = _checked(storage, Storage, "storage").dtype
    return Tensor(storage, dtype, offset, shape, strides)


def _tensor_of_type(*arguments: Any) -> Tensor:
    *of_bytes, dtype = arguments[:7]
    tensor = _tensor(*of_bytes, *arguments[7:])
    return dataclasses.replace(tensor, dtype=_TYPES[dtype.name])


def _tensor_with_attributes(
    function: Any, kind: Any, arguments: Any, state: Any
) -> Tensor:
    del kind, state
    if function not in (_Name(_TENSOR), _Name(_TENSOR_OF_TYPE)):
        raise TypeError("a tensor of another kind")
    return _CALLS[function.name](*arguments)


def _parameter(tensor: Any, grad: Any, hooks: Any, state: Any = None) -> Tensor:
    del grad, hooks, state
    return _checked(tensor, Tensor, "tensor")


_TENSOR = "torch._utils._rebuild_tensor_v2"
_TENSOR_OF_TYPE = "torch._utils._rebuild_tensor_v3"
_ORDERED = _Name("collections.OrderedDict")
_CALLS: dict[str, Callable[..., Any]] = {
    _ORDERED.name: _ordered,
    _TENSOR: _tensor,
    _TENSOR_OF_TYPE: _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
}
_KNOWN = {*_CALLS, *_STORAGES, *_TYPES, "torch.Tensor", "torch._tensor.Tensor"}
# Operations whose argument is the value.
_PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("SHORT_BINUNICODE", "SHORT_BINSTRING", "BINSTRING"),
}
_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": lambda machine, place: machine.remember(place),
    "LONG_BINPUT": lambda machine, place: machine.remember(place),
    "MEMOIZE": lambda machine, _: machine.remember_next(),
    "BINGET": lambda machine, place: machine.recall(place),
    "LONG_BINGET": lambda machine, place: machine.recall(place),
    "GLOBAL": lambda machine, words: machine.name(*words.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.drop_state(),
    "BINPERSID": lambda machine, _: machine.storage(),
}
