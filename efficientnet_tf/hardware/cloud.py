"""Checks that a Cloud TPU exists, is ready, and runs the right version."""

import json
import re
from collections.abc import Iterator

from efficientnet_tf.hardware import failures, machine, packages, tpu

LIST = "gcloud compute tpus tpu-vm list"
ENABLE = "gcloud services enable tpu.googleapis.com"
LOG_IN = "gcloud auth application-default login"


def check_node(name: str, *, zone: str | None, project: str | None) -> None:
    """Raises ValueError unless the Cloud TPU API knows a TPU that can be connected to.

    Args:
        name: name of the TPU.
        zone: the TPU's zone; None takes this machine's, on Google's cloud.
        project: the TPU's project; None takes this machine's, on Google's cloud.
    """
    _check_place(name, zone, project)
    # Imported here: it brings the API's client, which takes a second.
    from cloud_tpu_client import client

    try:
        node = client.Client(tpu=name, zone=zone, project=project)
        state, version = node.state(), node.runtime_version()
        endpoints = node.network_endpoints() if state == "READY" else []
    except Exception as error:  # from oauth2client, googleapiclient, httplib2, urllib
        raise ValueError(_failure(error, name, zone=zone, project=project)) from error
    if not endpoints:
        raise ValueError(f"tpu={name}: {_of_state(state, zone)}")
    _check_version(name, version)
    first = endpoints[0]
    tpu.check_answers(first["ipAddress"], int(first["port"]), label=f"tpu={name}")


def _failure(
    error: BaseException, name: str, *, zone: str | None, project: str | None
) -> str:
    """Says in one line why Google's clients failed to look up a TPU's name."""
    chain = list(_chain(error))
    place = f"zone {zone or 'of this machine'}, project {project or 'of this machine'}"
    status = next(filter(None, map(_status, chain)), None)
    if status:
        said = next(filter(None, map(_words, chain)), "")
        return f"tpu={name}: {_of_answer(status, said, place)}"
    kinds = " ".join(type(one).__name__ for one in chain)
    if "DefaultCredentialsError" in kinds:
        why = f"no credentials to ask the Cloud TPU API with; run {LOG_IN}"
    elif "Refresh" in kinds or "Credentials" in kinds:
        why = f"the credentials are not accepted; run {LOG_IN}"
    else:
        why = (
            f"the Cloud TPU API cannot be reached ({failures.first_line(error)}); "
            "check the network, or give --tpu=grpc://HOST:PORT"
        )
    return f"tpu={name}: {why}"


def _of_answer(status: int, said: str, place: str) -> str:
    """Explains an HTTP status of the API, and its message, to the user."""
    if re.search(r"\blocations?\b.*not found|unknown zone", said, re.IGNORECASE):
        return f"the Cloud TPU API knows no {place}; check --zone ({LIST} --zone=-)"
    if status == 404:
        return (
            f"no TPU of this name in {place}; see {LIST} --zone=ZONE, and check --tpu, "
            "--zone and --project"
        )
    if status == 403 and re.search(r"has not been used|disabled", said):
        return f"the Cloud TPU API is off in {place}; {ENABLE}"
    if status in (401, 403):
        return (
            f"no permission to see it in {place}; the account needs the role TPU "
            f"Viewer (roles/tpu.viewer): ask the project's owner, or {LOG_IN}"
        )
    return f"the Cloud TPU API answers {status} {said}".rstrip() + "; try again later"


def _check_place(name: str, zone: str | None, project: str | None) -> None:
    """Requires zone and project off Google's cloud, where nothing else states them."""
    missing = [
        flag for flag, value in (("--zone", zone), ("--project", project)) if not value
    ]
    if missing and not machine.is_google_vm():
        raise ValueError(
            f"tpu={name}: give {' and '.join(missing)} too; only on Google's machines "
            "they are known"
        )


def _check_version(name: str, version: str | None) -> None:
    """Refuses a TPU whose hosts run another TensorFlow; a bare image runs none."""
    match = re.search(r"(?:^|tf-)(\d+\.\d+)", version or "")
    if match and match[1] != packages.TENSORFLOW:
        raise ValueError(
            f"tpu={name}: runs TensorFlow {match[1]} ({version}), and this is "
            f"{packages.TENSORFLOW}; create the TPU with the version of "
            f"{packages.TENSORFLOW}, or run main.py on the TPU VM with --tpu=local"
        )


def _of_state(state: str | None, zone: str | None) -> str:
    if state in ("PREEMPTED", "TERMINATED", "STOPPED"):
        return (
            f"the TPU is {state}; start or create it again, then the same command "
            "continues the run"
        )
    return f"the TPU is {state}; wait until {LIST} --zone={zone or 'ZONE'} says READY"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and those that caused it, the latest first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _status(error: BaseException) -> int | None:
    """Returns the HTTP status of a googleapiclient HttpError."""
    status = getattr(getattr(error, "resp", None), "status", None)
    return int(status) if status else None


def _words(error: BaseException) -> str:
    """Returns the message in the body of a googleapiclient HttpError."""
    try:
        return json.loads(getattr(error, "content", b"{}"))["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return ""
