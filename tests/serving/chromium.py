"""Drives headless Chromium through its DevTools protocol over a pipe: nothing needs installing."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --mute-audio
--disable-dev-shm-usage --disable-background-networking --disable-component-update --disable-sync
--remote-debugging-pipe""".split()
# The browser reads from file 3 and writes to file 4.
_START = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)"
_START += "; os.execv(sys.argv[3], sys.argv[3:])"


def find_chromium() -> str | None:
    """Its path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. Leave it by `close`."""

    def __init__(self, path: str, seconds: float = 60) -> None:
        self.seconds, self.number, self.events, self._left = seconds, 0, [], b""
        self.folder = tempfile.mkdtemp(prefix="chromium")
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        there = [os.dup(fd) for fd in (to_read, to_write)]  # not 3 or 4
        os.close(to_read), os.close(to_write)
        words = [path, *FLAGS, f"--user-data-dir={self.folder}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(str, there), *words],
            pass_fds=there,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in there:
            os.close(fd)
        self.session = ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        found = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict:
        """The result of a method of the protocol; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + self.seconds
        while True:
            answer = self._next(until)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def size(self, width: int, height: int = 900) -> None:
        """Of the window, in CSS pixels; below 500 as on a phone."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip

    def open(self, url: str) -> None:
        """Goes there and waits for the page to be loaded."""
        self.ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of an expression."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']['text']}")
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + self.seconds
        while not self.run(expression):
            if time.monotonic() > until:
                raise TimeoutError(expression)
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """What a person does in the file dialogue."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key, down and up."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **named)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """What stands in the console: errors, and what the Content-Security-Policy refused."""
        found = []
        for event in self.events:
            kind, parameters = event.get("method"), event.get("params", {})
            if kind == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            elif kind == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
        return found

    def close(self) -> None:
        """Ends the browser and removes what it kept."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        os.close(self._write), os.close(self._read)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _next(self, until: float) -> dict:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self._read, 2**16) if ready else b""
            if not data:
                raise TimeoutError("the browser does not answer")
            self._left += data
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)
