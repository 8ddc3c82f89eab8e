"""A TPU's name, looked up with Google's own client at a stand-in of the Cloud TPU API.

Mocked: the credentials, which only Google hands out, and the texts of the API's errors
for a wrong zone and a disabled API, which are written from its documentation.
"""

import http.server
import json
import socket
import threading
import urllib.parse
import warnings

import machines
import pytest

from efficientnet_tf.hardware import cloud, machine

with warnings.catch_warnings():
    # oauth2client and googleapiclient import what newer Pythons call old.
    warnings.simplefilter("ignore")
    from cloud_tpu_client import client  # noqa: F401
    from oauth2client import client as oauth

PLACE = "projects/{}/locations/{}/nodes/{}"
DENIED = "Permission 'tpu.nodes.get' denied on resource"
NO_ZONE = "Location us-nowhere1-z is not found or access is unauthorized."
DISABLED = "Cloud TPU API has not been used in project 7 before or it is disabled."
REFUSALS = {
    "absent": (404, "Resource was not found"),
    "denied": (403, DENIED),
    "stranger": (401, "Request had invalid authentication credentials."),
    "elsewhere": (403, NO_ZONE),
    "off": (403, DISABLED),
    "overloaded": (503, "The service is currently unavailable."),
}
GET_NODE = {
    "id": "tpu.projects.locations.nodes.get",
    "path": "v1/{+name}",
    "httpMethod": "GET",
    "parameters": {"name": {"type": "string", "required": True, "location": "path"}},
    "parameterOrder": ["name"],
    "response": {"$ref": "Node"},
}


class Api(http.server.BaseHTTPRequestHandler):
    """Answers for nodes of `server.nodes`, and refuses those of REFUSALS."""

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        if url.path == "/discovery":
            return self.answer(200, self.discovery())
        name = url.path.removeprefix("/v1/")
        self.server.asked.append(name)
        node = name.rsplit("/", 1)[-1]
        if node in REFUSALS:
            code, message = REFUSALS[node]
            return self.answer(code, {"error": {"code": code, "message": message}})
        return self.answer(200, {"name": name} | self.server.nodes[node])

    def discovery(self):
        methods = {"nodes": {"methods": {"get": GET_NODE}}}
        return {
            "name": "tpu",
            "version": "v1",
            "rootUrl": f"http://127.0.0.1:{self.server.server_port}/",
            "servicePath": "",
            "schemas": {"Node": {"id": "Node", "type": "object", "properties": {}}},
            "resources": _nested("projects", "locations", methods),
        }

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def _nested(*names_and_leaf):
    *names, leaf = names_and_leaf
    for name in reversed(names):
        leaf = {name: {"resources": leaf}}
    return leaf


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "ROOT", machines.lay_out(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.asked, server.nodes = [], {}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/discovery"
    monkeypatch.setenv("TPU_API_DISCOVERY_URL", url)
    monkeypatch.setattr(
        oauth.GoogleCredentials,
        "get_application_default",
        lambda: oauth.AccessTokenCredentials("token", "agent"),
    )
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def check(name, *, zone="us-central1-a", project="paper"):
    cloud.check_node(name, zone=zone, project=project)


def failure(name, **kwargs):
    with pytest.raises(ValueError) as refused:
        check(name, **kwargs)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"tpu={name}: ")
    return line


@pytest.fixture
def host():
    """A TPU's host that listens; its endpoint as the API gives it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield {"ipAddress": "127.0.0.1", "port": listening.getsockname()[1]}


@pytest.mark.parametrize(
    "version", ["2.20.0", "tpu-vm-tf-2.20.0-pod-pjrt", "v2-alpha-tpuv5-lite", None]
)
def test_a_ready_tpu_passes(api, host, version):
    api.nodes["ready"] = {"state": "READY", "networkEndpoints": [host]}
    api.nodes["ready"] |= {"tensorflowVersion": version} if version else {}
    check("ready")
    assert set(api.asked) == {PLACE.format("paper", "us-central1-a", "ready")}


@pytest.mark.parametrize(
    ("version", "stated"), [("2.18.0", "2.18"), ("tpu-vm-tf-2.17.0-pjrt", "2.17")]
)
def test_another_version_is_named(api, host, version, stated):
    api.nodes["old"] = {"state": "READY", "networkEndpoints": [host]}
    api.nodes["old"]["tensorflowVersion"] = version
    line = failure("old")
    assert f"runs TensorFlow {stated} ({version}), and this is 2.20" in line


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("CREATING", "wait until gcloud compute tpus tpu-vm list --zone=us-central1-a"),
        ("PREEMPTED", "start or create it again"),
        ("STOPPED", "start or create it again"),
    ],
)
def test_a_tpu_that_is_not_ready_says_its_state(api, state, advice):
    api.nodes["node"] = {"state": state}
    line = failure("node")
    assert f"the TPU is {state}" in line and advice in line


def test_a_tpu_whose_host_does_not_answer_is_named(api):
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        endpoint = {"ipAddress": "127.0.0.1", "port": port}
        api.nodes["node"] = {"state": "READY", "networkEndpoints": [endpoint]}
        assert f"nothing answers at 127.0.0.1:{port}" in failure("node")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "no TPU of this name in zone us-central1-a, project paper; see"),
        ("denied", "no permission to see it in zone us-central1-a, project paper; "),
        ("stranger", "the credentials are not accepted; run gcloud auth application-"),
        ("elsewhere", "knows no zone us-central1-a, project paper; check --zone"),
        ("off", "the Cloud TPU API is off in zone us-central1-a, project paper; gcl"),
        ("overloaded", "answers 503 The service is currently unavailable.; try again"),
    ],
)
def test_what_the_api_refuses_becomes_one_line(api, name, said):
    assert said in failure(name)


def test_missing_credentials_are_named(api, monkeypatch):
    def none():
        raise oauth.ApplicationDefaultCredentialsError("are not available. " * 9)

    monkeypatch.setattr(oauth.GoogleCredentials, "get_application_default", none)
    assert "run gcloud auth application-default login" in failure("node")


def test_an_api_out_of_reach_is_named(api, monkeypatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/discovery"
        monkeypatch.setenv("TPU_API_DISCOVERY_URL", url)
        assert "the Cloud TPU API cannot be reached" in failure("node")


@pytest.mark.parametrize(
    ("place", "missing"),
    [
        ({"zone": None}, "give --zone too"),
        ({"project": None}, "give --project too"),
        ({"zone": None, "project": None}, "give --zone and --project too"),
    ],
)
def test_off_googles_cloud_a_name_needs_its_place(api, place, missing):
    assert missing in failure("node", **place)
    assert api.asked == []
