"""Names of layers that are not loaded: those of the model or those of the file."""

import re
from collections.abc import Collection, Mapping, Sequence

from efficientnet_tf.weights import model_layout
from efficientnet_tf.weights.words import shown


def chosen(
    source: str, names: Mapping[str, str], known: Collection[str], skip: Sequence[str]
) -> tuple[set[str], set[str]]:
    """Finds what the caller asks to skip.

    Args:
        source: the weights' file or release, for the error.
        names: the file's name for each path of the model.
        known: the names in the file.
        skip: layers, blocks or paths of the model, or layers or tensors of the file.

    Returns:
        The model's paths, and the file's names that the model has no path for.

    Raises:
        ValueError: for a name that skips nothing.
    """
    if isinstance(skip, str):
        raise ValueError(f"skip={skip!r}: allowed is a list of names")
    paths, file_only = set(), set()
    for wanted in skip:
        found = {
            path
            for path, name in names.items()
            if _is_path(path, wanted) or _is_inside(name, wanted)
        }
        others = {name for name in known if _is_inside(name, wanted)}
        if not (found or others):
            raise ValueError(
                f"{source}: skip={wanted!r}: neither the model nor the file has a "
                "layer, block or path of this name"
            )
        paths |= found
        file_only |= others - set(names.values())
    return paths, file_only


def _is_path(path: str, wanted: str) -> bool:
    layer = path.split("/")[0]
    return wanted in (path, layer) or layer.startswith(f"{wanted}_")


def _is_inside(name: str, wanted: str) -> bool:
    """Whether a name of a file is a tensor, or is in a layer or module, of a name."""
    return name == wanted or name.startswith((f"{wanted}/", f"{wanted}."))


def hint(
    problems: Sequence[str], names: Mapping[str, str], left: Collection[str]
) -> str:
    """Returns what helps: what to skip if layers behind the network do not fit; or "".

    Args:
        problems: sentences that begin with the model's path or the file's name.
        names: the file's name for each path of the model.
        left: the file's names that the model has no place for.
    """
    places = {_first(problem.split(" ")[0].rstrip(":")) for problem in problems}
    inside = {_first(name) for path, name in names.items() if _is_network(path)}
    inside |= {_first(path) for path in names if _is_network(path)}
    inside |= {_first(name) for name in left if model_layout.is_ours(_first(name))}
    if all(map(_lacks_statistics, problems)):
        return " (parameters alone lack these statistics; save model.state_dict())"
    if places & (inside - {"predictions"}):
        return ""
    listed = ", ".join(f'"{place}"' for place in sorted(places))
    flag = f"--weights_skip={','.join(sorted(places))}"
    return shown(f" (load_weights(..., skip=[{listed}]), {flag}, loads the rest)")


def _lacks_statistics(problem: str) -> bool:
    is_statistics = "/moving_" in problem.partition(" ")[0]
    return is_statistics and ": the file has no " in problem


def _is_network(path: str) -> bool:
    layer = _first(path)
    return layer != "predictions" and model_layout.is_ours(layer)


def _first(name: str) -> str:
    return re.split(r"[/.]", name)[0]
