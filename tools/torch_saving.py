"""Writes files as torch.save does, without PyTorch: Python's pickle and zipfile.

Imported by tools and tests. Modules of the same names stand in for PyTorch's while
pickle looks names up.
"""

import collections
import contextlib
import dataclasses
import io
import itertools
import math
import pickle
import sys
import types
from unittest import mock

import numpy as np
from zip_files import write_zip

STORAGES = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
    "bfloat16": "BFloat16Storage",
}
MAGIC = 0x1950A86A20F9469CFC6C


@dataclasses.dataclass(eq=False)
class Storage:
    """A flat array, and how PyTorch calls its type."""

    array: np.ndarray
    kind: str


@dataclasses.dataclass(eq=False)
class Tensor:
    """A view of a storage."""

    storage: Storage
    offset: object
    shape: object
    strides: object
    function: str = "_rebuild_tensor_v2"


@dataclasses.dataclass(eq=False)
class Parameter:
    """A tensor that is trained, as PyTorch pickles it."""

    tensor: Tensor


class Named:
    """Pickles as a call of the function of this name."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments


class Global:
    """As an argument of `Named`: pickles as the name of a function or class."""

    def __init__(self, module, name):
        self.module, self.name = module, name


def storage(array, kind=None):
    """Returns the storage of an array; `kind` overrides the name of its type."""
    array = np.ascontiguousarray(array)
    name = array.dtype.name
    code = name if name in STORAGES else array.dtype.str[1:]
    return Storage(array.reshape(-1), kind or STORAGES[code])


def tensor(array, **fields):
    """A tensor with a storage of its own; fields of `Tensor` override the array's."""
    array = np.asarray(array)
    contiguous = np.ascontiguousarray(array)
    steps = [math.prod(array.shape[i + 1 :]) for i in range(array.ndim)]
    of_array = {"offset": 0, "shape": array.shape, "strides": tuple(steps)}
    return Tensor(**{"storage": storage(contiguous)} | of_array | fields)


def tensors(arrays):
    """Makes a dictionary of arrays one of tensors."""
    return {name: tensor(array) for name, array in arrays.items()}


class _Pickler(pickle.Pickler):
    def __init__(self, file, protocol, keys, view):
        super().__init__(file, protocol)
        self._keys, self._view = keys, view

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key = self._keys.setdefault(value, str(len(self._keys)))
        kind = _named("torch", value.kind)
        return ("storage", kind, key, "cpu", len(value.array), *self._view)

    def reducer_override(self, value):
        hooks = collections.OrderedDict()
        if isinstance(value, Tensor):
            view = (value.storage, value.offset, value.shape, value.strides)
            return _named("torch._utils", value.function), (*view, False, hooks)
        if isinstance(value, Parameter):
            rebuild = _named("torch._utils", "_rebuild_parameter")
            return rebuild, (value.tensor, True, hooks)
        if isinstance(value, Named):
            arguments = [
                _named(one.module, one.name) if isinstance(one, Global) else one
                for one in value.arguments
            ]
            return _named(value.module, value.name), tuple(arguments)
        return NotImplemented


def _named(module, name):
    """A function that pickle finds under this name."""
    found = sys.modules[module]
    if not hasattr(found, name):

        def function():
            raise AssertionError("a stand-in was called")

        function.__module__, function.__qualname__ = module, name
        setattr(found, name, function)
    return getattr(found, name)


@contextlib.contextmanager
def _stand_ins():
    names = ("torch", "torch._utils", "torch._tensor", "torch.storage", "stranger")
    modules = {name: types.ModuleType(name) for name in names}
    with mock.patch.dict(sys.modules, modules):
        yield


def dumps(content, *, protocol=2, view=()):
    """The pickle of some content, and its storages by key."""
    file, keys = io.BytesIO(), {}
    with _stand_ins():
        _Pickler(file, protocol, keys, view).dump(content)
    return file.getvalue(), {key: value.array for value, key in keys.items()}


def save(path, content, *, format="zip", protocol=2, order="little"):
    """Writes a file as torch.save does; returns its path as text."""
    if format == "zip":
        pickled, arrays = dumps(content, protocol=protocol)
        write_zip(path, entries(pickled, arrays, order=order))
    else:
        pickled, arrays = dumps(content, protocol=protocol, view=(None,))
        path.write_bytes(old(pickled, arrays, protocol=protocol))
    return str(path)


def entries(pickled, arrays, *, order="little"):
    """Returns the files of an archive, by name."""
    data = {
        f"archive/data/{key}": _bytes(array, order) for key, array in arrays.items()
    }
    head = {"archive/data.pkl": pickled, "archive/byteorder": order.encode()}
    return head | data | {"archive/version": b"3\n"}


def old(pickled, arrays, *, protocol=2, counts=None):
    """The bytes of a file of the older format; `counts` overrides the arrays' sizes."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = [pickle.dumps(value, protocol) for value in (MAGIC, 1001, system)]
    keys = pickle.dumps(list(arrays), protocol)
    counts = counts or {key: len(array) for key, array in arrays.items()}
    data = itertools.chain.from_iterable(
        (counts[key].to_bytes(8, "little"), _bytes(array, "little"))
        for key, array in arrays.items()
    )
    return b"".join([*head, pickled, keys, *data])


def _bytes(array, order):
    # NumPy cannot swap the bytes of a bfloat16, but those of its bits.
    bits = array.view(np.uint16) if array.dtype.name == "bfloat16" else array
    return bits.astype(bits.dtype.newbyteorder(order)).tobytes()
