"""Answers a command line that has flags of other projects or unknown ones."""

import dataclasses
import shlex
from collections.abc import Collection, Container, Sequence

from efficientnet_tf import model_names, variants
from efficientnet_tf.command_line import old_flags
from efficientnet_tf.command_line.arguments import Argument
from efficientnet_tf.settings import shown
from efficientnet_tf.spelling import ALIKE, did_you_mean

# Flags that mean something else in a command with one of these.
_LEFT_OUT_WITH = {"output_tflite": "data_dir"}
_TAKES_IMAGES = ("--mode=predict", "--mode=cam")


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What became of one argument.

    Args:
        arguments: what to write in its place.
        words: what to tell about it; None where nothing changes.
        is_known: whether a table or a rule knows what it is.
    """

    arguments: Sequence[str]
    words: str | None = None
    is_known: bool = True


def find(
    arguments: Sequence[Argument],
    known: Container[str],
    *,
    suggested: Collection[str],
    program: str = "main.py",
) -> str | None:
    """Says what every flag that is not ours is now, and writes the new command line.

    Args:
        arguments: the command line.
        known: names of all flags that the program takes.
        suggested: names of those that an unknown one may be a misspelling of.
        program: the program's path.

    Returns:
        The answer, in one line; None if all flags are ours.
    """
    given = {_name(a): a.value or "" for a in arguments if a.name is not None}
    answers = [_answer(argument, given, known, suggested) for argument in arguments]
    told = [answer.words for answer in answers if answer.words]
    if not told:
        return None
    unknown = {a.name for a in arguments if a.name is not None and a.name not in known}
    begin = f"unknown flag{'s' * (len(unknown) > 1)} " if unknown else ""
    line = begin + "; ".join(told)
    if not any(answer.is_known and answer.words for answer in answers):
        return line
    command = shlex.join(["python", program, *_command(answers, given)])
    return f"{line}; the command is now: {command}"


def _name(argument: Argument) -> str:
    return (argument.name or "").replace("-", "_")


def _answer(
    argument: Argument,
    given: dict[str, str],
    known: Container[str],
    suggested: Collection[str],
) -> _Answer:
    if argument.name is None:
        return _Answer(argument.words)
    name, value = _name(argument), argument.value
    written = f"--{argument.name}={value}"
    if len(argument.words) == 1 and argument.words[0].startswith("--"):
        written = argument.words[0]
    as_given = shown(written)
    row = old_flags.table().get(f"{name}={value}") or _model_row(name, value)
    if argument.name in known and row is None:
        is_left_out = value == "" or name in map(_LEFT_OUT_WITH.get, given)
        return _Answer([] if is_left_out else [written])
    if name in known and row is None:
        now = f"--{name}" if value is None else f"--{name}={value}"
        return _Answer([now], f"{as_given}: now {shlex.quote(now)}")
    row = row or old_flags.find(name, suggested)
    if row is None:
        hint = did_you_mean(name, suggested, prefix="--", most=2, alike=ALIKE)
        return _Answer([], f"--{argument.name}{hint}", is_known=False)
    return _converted(row, as_given, name, value, given)


def _model_row(name: str, value: str | None) -> old_flags.OldFlag | None:
    """Returns the row of model names, for a model that goes by another name here."""
    names = variants.list_variants()
    is_other = name == "model" and value and value not in names
    if is_other and model_names.meant(str(value), names):
        return dataclasses.replace(old_flags.table()["model_name"], flag="model")
    return None


def _converted(
    row: old_flags.OldFlag,
    as_given: str,
    name: str,
    value: str | None,
    given: dict[str, str],
) -> _Answer:
    if name != row.flag.partition("=")[0]:
        as_given = f"{as_given} (for --{row.flag})"
    if row.how == "absent":
        return _Answer([], f"{as_given}: not supported ({row.words})")
    if row.is_gone:
        return _Answer([], f"{as_given}: gone, not needed because {row.words}")
    if value is None and row.takes == "bool":
        value = "true"
    try:
        if value is None:
            raise ValueError("it has no value")
        now = row.arguments(value, given)
    except ValueError as error:
        return _Answer([], f"{as_given}: now {row.now}, left out here ({error})")
    why = f" ({row.words})" if row.words else ""
    told = f"now {shlex.join(now)}" if now else "left out"
    return _Answer(now, f"{as_given}: {told}{why}")


def _command(answers: Sequence[_Answer], given: dict[str, str]) -> list[str]:
    """Joins the arguments; of a flag given twice, ours counts, else the first."""
    used = {
        _flag(a) for answer in answers if not answer.words for a in answer.arguments
    }
    written = []
    for answer in answers:
        for argument in answer.arguments:
            flag = _flag(argument)
            if answer.words and flag:
                if flag in used:
                    continue
                used.add(flag)
            written.append(argument)
    return _with_data_dir(written, given)


def _flag(argument: str) -> str | None:
    return argument.partition("=")[0] if argument.startswith("--") else None


def _with_data_dir(written: list[str], given: dict[str, str]) -> list[str]:
    """Names the folder of images that timm's script takes without a flag."""
    others = [one for one in written if not one.startswith("--")]
    takes_images = any(one in _TAKES_IMAGES for one in written)
    if takes_images or len(others) != 1 or "data_dir" in given:
        return written
    return [f"--data_dir={a}" if a == others[0] else a for a in written]
