"""Finds the networks among a file's names, whatever stands before their names.

PyTorch's wrappers put "module." or "_orig_mod." before the names of a network, a larger
model the attribute that holds it ("backbone."), and Keras the layer ("sequential/").
"""

import dataclasses
from collections.abc import Collection, Iterable

from efficientnet_tf.weights.words import shown


@dataclasses.dataclass(frozen=True)
class Network:
    """The names of one network.

    Args:
        prefix: what stands before the network's names: "", "module.", "sequential/".
        names: the network's names without the prefix, by the file's names.
        others: the file's names that belong to no network, such as another head's.
    """

    prefix: str
    names: dict[str, str]
    others: tuple[str, ...] = ()

    @property
    def short(self) -> dict[str, str]:
        """The name to read each tensor under, by the file's names.

        Raises:
            ValueError: if a name inside the network is also one beside it.
        """
        inside = set(self.names.values())
        for name in self.others:
            if name in inside:
                names = f"{shown(name)} twice, beside {shown(self.prefix + name)}"
                raise ValueError(f"holds {names}")
        return self.names | {name: name for name in self.others}

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence about the prefix; none if there is no prefix."""
        if not self.prefix:
            return ()
        count = len(self.names)
        total = count + len(self.others)
        which = f"{count} of {total} names" if self.others else "all names"
        return (f"dropped {shown(self.prefix)} from {which}",)


def find_only(
    names: Collection[str], marks: Collection[str], *, separator: str
) -> Network:
    """Finds the network among a file's names; all of them if no network is known.

    Loading then says which tensors an unknown network lacks.

    Args:
        names: as in `find`.
        marks: as in `find`.
        separator: as in `find`.

    Raises:
        ValueError: naming the networks if there are several.
    """
    networks = find(names, marks, separator=separator)
    if len(networks) > 1:
        prefixes = (one.prefix.rstrip(separator) for one in networks)
        places = ", ".join(shown(prefix) or "the top level" for prefix in prefixes)
        raise ValueError(
            f"holds several networks ({places}); save the one to load alone"
        )
    return networks[0] if networks else Network("", {name: name for name in names})


def find(
    names: Iterable[str], marks: Collection[str], *, separator: str
) -> list[Network]:
    """Finds the networks among a file's names.

    Args:
        names: the file's names.
        marks: names of which each network that is looked for has one, such as the name
            of its stem's kernel.
        separator: the character that ends a prefix.
    """
    names = list(names)
    prefixes = {
        prefix
        for name in names
        for mark in marks
        if name.endswith(mark)
        and (not (prefix := name.removesuffix(mark)) or prefix.endswith(separator))
    }
    lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)
    groups: dict[str, dict[str, str]] = {prefix: {} for prefix in sorted(prefixes)}
    others = []
    for name in names:
        # A network's names are not those of one that is nested in it.
        length = next((n for n in lengths if name[:n] in prefixes), None)
        if length is None:
            others.append(name)
        else:
            groups[name[:length]][name] = name[length:]
    return [Network(prefix, group, tuple(others)) for prefix, group in groups.items()]
