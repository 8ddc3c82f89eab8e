"""Finds the values that fill the memory at its peak, from a module's schedule."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from efficientnet_tf.planning import hlo

# Instructions whose result is another instruction's result, or a part of it.
_SAME_MEMORY = ("bitcast", "copy-done", "get-tuple-element", "opt-barrier", "tuple")
_NOT_TEMPORARY = (*_SAME_MEMORY, "parameter", "constant")


@dataclasses.dataclass(frozen=True)
class Value:
    """A value in memory: an instruction's result, or one part of a tuple result."""

    name: str
    layer: str
    bytes: int  # with the padding of its layout
    born: int  # place in the schedule of the instruction that computes it
    last_read: int  # place of the last instruction that reads it


def values(module: Any) -> list[Value]:
    """Lists a scheduled module's temporary values, in the order they are computed."""
    entry = next(c for c in module.computations if c.id == module.entry_computation_id)
    by_id = {i.id: i for i in entry.instructions}
    order = module.schedule.sequences[entry.id].instruction_ids
    place = {number: at for at, number in enumerate(order)}
    last: dict[tuple[int, int], int] = collections.defaultdict(int)
    for number in order:
        for operand in by_id[number].operand_ids:
            owner = _owner(by_id, operand)
            last[owner] = max(last[owner], place[number])
    found = []
    for number in order:
        instruction = by_id[number]
        if instruction.opcode in _NOT_TEMPORARY:
            continue
        parts = instruction.shape.tuple_shapes or [instruction.shape]
        for index, shape in enumerate(parts):
            born = place[number]
            found.append(
                Value(
                    name=instruction.name,
                    layer=hlo.layer_of(instruction.metadata.op_name),
                    bytes=hlo.padded_size(shape),
                    born=born,
                    last_read=max(born, last[number, index]),
                )
            )
    return found


def at_peak(found: list[Value]) -> list[Value]:
    """Lists the values that are alive when memory is fullest, largest first."""
    change: dict[int, int] = collections.defaultdict(int)
    for value in found:
        change[value.born] += value.bytes
        change[value.last_read + 1] -= value.bytes
    alive, most, peak = 0, 0, 0
    for at in sorted(change):
        alive += change[at]
        if alive > most:
            most, peak = alive, at
    living = [v for v in found if v.born <= peak <= v.last_read]
    return sorted(living, key=lambda value: value.bytes, reverse=True)


def summary(module: Any) -> dict:
    """Returns "at_peak", the 40 largest values at the peak of memory, as plain data."""
    living = at_peak(values(module))[:40]
    return {"at_peak": [dataclasses.asdict(value) for value in living]}


def _owner(by_id: Mapping, number: int) -> tuple[int, int]:
    """Finds the instruction, and the part of its tuple, that owns a value's memory."""
    instruction = by_id[number]
    if instruction.opcode == "get-tuple-element":
        source = by_id[instruction.operand_ids[0]]
        if source.opcode in ("tuple", "opt-barrier"):
            return _owner(by_id, source.operand_ids[instruction.tuple_index])
        return source.id, instruction.tuple_index
    if instruction.opcode in _SAME_MEMORY and instruction.operand_ids:
        return _owner(by_id, instruction.operand_ids[0])
    return number, 0
