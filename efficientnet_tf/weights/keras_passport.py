"""Lets Keras's own `save` and `save_weights` write a model's passport.

The files remain Keras's: without this package they load as any other. In a `.keras` or
`.weights.h5` file the passport is an attribute of the HDF5 file. In the config, which
`.keras` and whole models' `.h5` files hold, it stands beside that of the first layer,
where Keras reads over it; there it also travels inside a larger model.
"""

import dataclasses
import functools
from typing import Any

import h5py
import keras

from efficientnet_tf.weights import (
    checksums,
    hdf5_files,
    keras_config,
    keras_groups,
    model_layout,
)
from efficientnet_tf.weights import passport as passports

_NAMES = "class_names"  # the dataset of them
_BLOCK = 64  # names that are read at a time


def attach(model: keras.Model) -> None:
    """Makes a model write its passport, as it then is, wherever Keras saves it.

    Keras asks the model itself for its config and its variables. A subclass that
    answers would have to be imported to load the file, so this instance answers.

    Args:
        model: a functional model.
    """
    kind = type(model)
    model.get_config = functools.partial(_config, kind.get_config, model)
    model.save_own_variables = functools.partial(
        _variables, kind.save_own_variables, model
    )


def write(file: h5py.File, model: keras.Model, sha256: str) -> None:
    """Writes a model's passport into a file; replaces an older one.

    The names of the classes are a dataset of their own, because HDF5 allows an
    attribute 64 KB, which the names of some thousand classes fill. A model that Keras
    has loaded has no variant; its config says what its layers do.

    Args:
        file: a file of the model's weights.
        model: the model.
        sha256: the digest of the file's weights, see `passports.digest`.
    """
    passport = passports.of(model)
    if passport.variant is None:
        file.attrs["model_config"] = model.to_json()
    unnamed = dataclasses.replace(passport, class_names=None, sha256=sha256)
    file.attrs["passport"] = text = unnamed.dumps()
    names = passport.class_names
    file.attrs[checksums.PASSPORT] = checksums.of_passport(text, names)
    if _NAMES in file:
        del file[_NAMES]
    if passport.class_names:
        file[_NAMES] = passport.class_names


def class_names(file: hdf5_files.Group) -> tuple[str, ...] | None:
    """Reads the names of the classes that `write` wrote; None if there are none."""
    if not ("passport" in file.attrs and _NAMES in file):
        return None
    names: list[str] = []
    stored, left = file[_NAMES], file.size
    for begin in range(0, len(stored), _BLOCK):
        # Many names may be stored as one; together they have to fit the file.
        block = [name.decode() for name in stored[begin : begin + _BLOCK]]
        left -= sum(map(len, block))
        if left < 0:
            raise ValueError(f"its {_NAMES} are longer than the file")
        names += block
    return tuple(names)


def _config(get_config: Any, model: keras.Model) -> dict[str, Any]:
    passport = passports.of(model)
    if passport.variant is None:
        return get_config(model)
    # Weights change without the config, so it holds no digest of them.
    told = dataclasses.replace(passport, sha256=None).dumps()
    return keras_config.with_passport(get_config(model), told)


def _variables(save_own_variables: Any, model: keras.Model, store: Any) -> None:
    save_own_variables(model, store)
    file = getattr(store, "h5_file", None)
    # The outermost model is the first that is saved. A file of a larger model is not
    # this one's, and one of NumPy's has no attributes.
    if file is None or set(file) - {"vars"}:
        return
    values = model_layout.values(model).items()
    stored = {keras_groups.stored_name(path): value for path, value in values}
    write(file, model, passports.digest(stored))
