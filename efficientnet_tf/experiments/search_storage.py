"""The storage of a search's trials, and the locks that its workers hold."""

import json
from collections.abc import Mapping
from typing import Any

from efficientnet_tf import file_locks


def open_study(
    root: str, name: str, *, settings: Mapping, url: str | None = None
) -> Any:
    """Opens an Optuna study, or begins it.

    Args:
        root: folder of the locks and, without a URL, of the journal file.
        name: name of the study in the storage.
        settings: everything that distinguishes searches, as JSON can hold it.
        url: URL of a database.

    Raises:
        ValueError: if the study there has other settings.
    """
    import optuna
    from optuna.storages import journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wanted = json.loads(json.dumps(settings))  # as the storage will return it
    with file_locks.lock(f"{root}/search.lock"):
        storage = url or optuna.storages.JournalStorage(
            journal.JournalFileBackend(f"{root}/journal.log")
        )
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize",
                load_if_exists=True,
            )
        except Exception as error:  # each driver of a database has its own
            if url is None:
                raise
            told = str(error).splitlines()[0]
            raise ValueError(f"storage={url}: cannot be opened ({told})") from None
        if study.user_attrs.get("settings", wanted) != wanted:
            raise ValueError(
                f"root={root}: the search {name} there has other settings; name "
                "another folder (and storage), or delete this one"
            )
        if "settings" not in study.user_attrs:
            study.set_user_attr("settings", wanted)
    return study


def trials(study: Any, *states: str) -> list:
    """Lists the trials in some of Optuna's states, such as COMPLETE, in order."""
    from optuna.trial import TrialState

    return study.get_trials(
        deepcopy=False, states=[TrialState[state] for state in states]
    )


def renew_lost(study: Any, root: str) -> None:
    """Queues again the trials whose workers are gone, with the choices made in them.

    Args:
        study: the study that `open_study` returned.
        root: the search's folder.
    """
    from optuna.trial import TrialState

    for trial in trials(study, "RUNNING"):
        try:
            file_locks.lock(worker_lock(root, trial.number), wait=False).close()
        except BlockingIOError:
            continue
        # Reads again: the worker may have ended the trial just before it unlocked.
        if trial.number in [running.number for running in trials(study, "RUNNING")]:
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def worker_lock(root: str, number: int) -> str:
    """Returns the file that a trial's worker keeps locked as long as it lives.

    Args:
        root: the search's folder.
        number: int, number of the trial.
    """
    return f"{root}/workers/{number}.lock"
