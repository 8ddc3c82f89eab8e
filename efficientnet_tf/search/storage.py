"""Where a search's trials lie, and the locks that its workers hold."""

import csv
import fcntl
import json
import os
from collections.abc import Mapping, Sequence

from efficientnet_tf import files


def open_study(root: str, name: str, *, settings: Mapping, url: str | None = None):
    """An Optuna study, begun if need be.

    Args:
        root: folder of the locks and, without a URL, of the journal file.
        name: of the study, in the storage.
        settings: what makes the search the one it is, as JSON can hold it.
        url: of a database.

    Raises:
        ValueError: if the study there has other settings.
    """
    import optuna
    from optuna.storages import journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wanted = json.loads(json.dumps(settings))  # as the storage gives it back
    with lock(f"{root}/search.lock"):
        storage = url or optuna.storages.JournalStorage(
            journal.JournalFileBackend(f"{root}/journal.log")
        )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
        if study.user_attrs.get("settings", wanted) != wanted:
            raise ValueError(
                f"root={root}: the search {name} there has other settings; name "
                "another folder (and storage), or delete this one"
            )
        if "settings" not in study.user_attrs:
            study.set_user_attr("settings", wanted)
    return study


def trials(study, *states: str) -> list:
    """The trials in some of Optuna's states, such as COMPLETE, in order."""
    from optuna.trial import TrialState

    return study.get_trials(
        deepcopy=False, states=[TrialState[state] for state in states]
    )


def renew_lost(study, root: str) -> None:
    """Queues the trials whose workers are gone anew, with the choices they made."""
    from optuna.trial import TrialState

    for trial in trials(study, "RUNNING"):
        held = lock(worker_lock(root, trial.number), wait=False)
        if held is None:
            continue
        held.close()
        # Read again: its worker may have ended it just before it let go of the lock.
        if trial.number in [running.number for running in trials(study, "RUNNING")]:
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def worker_lock(root: str, number: int) -> str:
    """The file that a trial's worker has locked for as long as it lives."""
    return f"{root}/workers/{number}.lock"


def lock(path: str, *, wait: bool = True):
    """Locks a file until what is returned is closed or its process ends.

    Args:
        path: made if need be, its folder too.
        wait: until no other has it.

    Returns:
        The open file; None if another has it and `wait` is False.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = open(path, "a")  # noqa: SIM115, the lock lasts as long as it is open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    return file


def write_csv(path: str, rows: Sequence[Mapping]) -> None:
    """Writes rows of the same columns; the file appears whole or not at all."""
    with files.replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
