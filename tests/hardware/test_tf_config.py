"""What TF_CONFIG may say, and what becomes of a lost host."""

import json
import socket
import subprocess
import sys

import host_processes
import pytest
import tensorflow as tf
from command_line import refusal

from efficientnet_tf.hardware import agreement, devices, hosts

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def config(cluster, job="worker", index=0) -> dict[str, str]:
    stated = {"cluster": cluster, "task": {"type": job, "index": index}}
    return {"TF_CONFIG": json.dumps(stated)}


def test_workers_are_hosts_and_the_first_is_in_charge():
    cluster = hosts.of_environment(config({"worker": TWO}, index=1))
    assert list(cluster.addresses.items()) == [
        ("worker 0", "10.0.0.1:2222"),
        ("worker 1", "10.0.0.2:2222"),
    ]
    assert (cluster.name, cluster.port) == ("worker 1", 2222)
    assert cluster.waiting() == "worker 1 waits for worker 0 at 10.0.0.1:2222"


def test_a_chief_comes_before_the_workers():
    jobs = {"worker": TWO, "chief": ["[::1]:77"]}
    cluster = hosts.of_environment(config(jobs, "chief"))
    assert list(cluster.addresses) == ["chief 0", "worker 0", "worker 1"]
    assert cluster.port == 77


@pytest.mark.parametrize(
    "environ",
    [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, config({"chief": ["a:1"]}, "chief")],
)
def test_no_other_host_is_no_cluster(environ):
    assert hosts.of_environment(environ) is None


WRONG = {
    "cluster": "is not JSON",
    "[]": "is no JSON object",
    '{"task": {"type": "worker", "index": 0}}': "names no cluster",
    '{"cluster": ["a:1"]}': "names no cluster",
    '{"cluster": {"worker": "a:1"}}': "worker is no list of addresses",
    '{"cluster": {"worker": ["a:1", "b:1"]}}': "names no task",
    '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 0}}': "names no task",
    '{"cluster": {"worker": ["a:1", "a:1"]}}': "cluster has the same address twice",
    '{"cluster": {"worker": ["a:1", "b"]}}': "worker 1 has the address 'b'",
    '{"cluster": {"worker": ["a:1", 7]}}': "worker 1 has the address 7",
    '{"cluster": {"worker": ["a:0", "b:1"]}}': "worker 0 has the address 'a:0'",
    '{"cluster": {"ps": ["c:1"], "worker": ["a:1"]}}': "cluster has the job ps",
    '{"cluster": {"chief": ["a:1", "b:1"]}}': "cluster has more than one chief",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_damaged_tf_config_is_refused_in_one_line(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert refusal().startswith(f"error: TF_CONFIG: {WRONG[text]}")


@pytest.mark.parametrize(("job", "index"), [("worker", 2), ("chief", 0), ("ps", 0)])
def test_a_task_outside_the_cluster_is_refused(job, index):
    with pytest.raises(ValueError, match=rf"task {job} {index} is not in the cluster"):
        hosts.of_environment(config({"worker": TWO}, job, index))


def two_here() -> str:
    return host_processes.environments(2)[0]["TF_CONFIG"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--tpu=local", "error: TF_CONFIG names 2 hosts, and one process runs a TPU"),
        ("--device=tpu", "error: TF_CONFIG names 2 hosts, and one process runs a TPU"),
        ("--num_cpu_devices=2", "error: TF_CONFIG names several hosts, so allowed is"),
    ],
)
def test_flags_that_contradict_several_hosts_are_refused(flag, words, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", two_here())
    assert refusal(flag, "--dataset=fake").startswith(words)


def test_a_port_that_is_taken_is_named(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        workers = {"worker": [f"127.0.0.1:{port}", "127.0.0.1:1"]}
        monkeypatch.setenv("TF_CONFIG", config(workers)["TF_CONFIG"])
        assert refusal().startswith(
            f"error: TF_CONFIG: worker 0 cannot listen on port {port} (Address"
        )


def test_what_takes_one_host_ignores_tf_config(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CONFIG", "damaged")
    model_dir = f"--model_dir={tmp_path}"
    assert "no config.json there" in refusal("--mode=export", model_dir)


def test_a_damaged_tf_config_is_refused_before_tensorflow_comes():
    script = (
        "import sys, main; sys.argv = ['main.py']\n"
        "try: main.main(main.parse(sys.argv))\n"
        "except SystemExit as end: print(end, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=host_processes.ROOT,
        env={"TF_CONFIG": "{"},
    )
    assert result.stdout.startswith("error: TF_CONFIG: is not JSON")
    assert result.stdout.endswith("False\n")


def test_a_lost_host_is_named_in_one_line():
    message = (
        "Graph execution error:\n\nCollective ops is aborted by: Socket closed\n"
        "Additional GRPC error information from remote target "
        "/job:worker/replica:0/task:3 while calling /tensorflow.WorkerService/RecvBuf"
    )
    with (
        pytest.raises(
            hosts.HostLostError, match=r"^worker 3 is lost \(Socket closed\)"
        ),
        agreement.lost_in_one_line(),
    ):
        raise tf.errors.UnavailableError(None, None, message)


def test_errors_of_one_host_alone_stay_what_they_are():
    error = tf.errors.UnavailableError(None, None, "a bucket is not there")
    with (
        pytest.raises(tf.errors.UnavailableError),
        agreement.lost_in_one_line(alone=True),
    ):
        raise error


def test_hosts_that_never_come_are_told_of(monkeypatch):
    def wait():
        raise tf.errors.DeadlineExceededError(None, None, "Barrier timed out.")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", wait)
    cluster = hosts.of_environment(config({"worker": TWO}))
    with pytest.raises(hosts.HostLostError, match="not all hosts are there"):
        devices.make_strategy("cpu", cluster=cluster)


def test_one_host_agrees_with_itself():
    with agreement.together(tf.distribute.get_strategy()) as ours:
        assert ours.is_chief and ours.count == 1
        assert ours.any(True) and not ours.any(False)
        ours.require_same({"the weather": "fine"})
