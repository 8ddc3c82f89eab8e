"""Drives Chromium by its DevTools protocol, through a pair of pipes.

Source: chromedevtools.github.io/devtools-protocol; with --remote-debugging-pipe each
message is JSON and ends with a zero byte. Chromium reads file 3 and writes file 4.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
_QUIET = ("--disable-background-networking", "--disable-component-update")


class Tab:
    """A page in a browser."""

    def __init__(self, commands, answers):
        self.complaints: list[str] = []  # what the page wrote to its console
        self._commands, self._answers = commands, answers
        self._session: dict[str, str] = {}
        self._number = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": found["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params) -> dict:
        """Sends a command, and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        self._commands.write(json.dumps(message | self._session).encode() + b"\0")
        self._commands.flush()
        while (answer := self._read()).get("id") != self._number:
            if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, script: str):
        """Returns the value of an expression of JavaScript."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + 60
        while not self.evaluate(script):
            assert time.monotonic() < end, script
            time.sleep(0.05)

    def open(self, url: str, *, width: int = 1000, height: int = 900) -> None:
        """Opens a page in a window of a size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", **size, mobile=width < 500)
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === '{url}' && document.readyState === 'complete'")

    def choose(self, selector: str, *paths: str) -> None:
        """Chooses files in a field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=list(paths))

    def press(self, key: str, code: int) -> None:
        """Presses a key."""
        keys = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **keys, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def screenshot(self) -> bytes:
        """Returns a PNG of the window."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def _read(self) -> dict:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        return json.loads(text)


@contextlib.contextmanager
def browser(profile) -> Iterator[Tab]:
    """Starts a browser without a window, and ends it."""
    (their_input, commands), (answers, their_output) = os.pipe(), os.pipe()
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    options = ["--headless=new", "--disable-gpu", *_QUIET, *sandbox]
    options += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
    # The shell gives the pipes the numbers that the browser expects.
    line = f'exec "$@" 3<&{their_input} 4>&{their_output}'
    with (
        open(commands, "wb") as writes,
        open(answers, "rb") as reads,
        subprocess.Popen(
            ["bash", "-c", line, "bash", BROWSER, *options],
            pass_fds=(their_input, their_output),
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        os.close(their_input)
        os.close(their_output)
        try:
            yield Tab(writes, reads)
        finally:
            process.kill()
