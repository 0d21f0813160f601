# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser without a window, driven by Chrome's DevTools Protocol through a pipe: mouse, keys, pictures."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, " ": 32, "Enter": 13}
_PATIENCE = 20.0  # [s] for anything to happen on a busy machine


def program() -> str | None:
    """The browser that NEPHIM_BROWSER names, else one that is installed, else None."""
    return os.environ.get("NEPHIM_BROWSER") or next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One page. Use it as a context manager. folder: for its profile, which survives, and its downloads."""

    def __init__(self, folder: Path, size: tuple[int, int] = (1280, 900)):
        self.folder, self._size = folder, size
        self.downloads = folder / "downloads"
        self._number = 0
        self._session: str | None = None
        self._rest = b""

    def __enter__(self) -> "Browser":
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        os.set_blocking(self._from, False)

        def pipes() -> None:  # the browser reads from 3 and writes to 4
            reads, writes = os.dup(to_browser), os.dup(from_browser)
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        name = program()
        assert name is not None
        self._process = subprocess.Popen(
            [
                name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--disable-component-update", "--no-first-run", "--disable-dev-shm-usage", "--mute-audio",
                f"--user-data-dir={self.folder / 'profile'}", f"--window-size={self._size[0]},{self._size[1]}",
                "--remote-debugging-pipe", "about:blank",
            ],
            preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        page = self.wait(lambda: [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"])[0]
        self._session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.send("Page.enable")
        self.send("Runtime.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=self._size[0], height=self._size[1], deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.downloads.mkdir(parents=True, exist_ok=True)
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        self.send("Browser.close")
        try:
            self._process.wait(_PATIENCE)
        finally:
            self._process.kill()
            os.close(self._to)
            os.close(self._from)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls the browser and waits for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 3 * _PATIENCE
        while time.monotonic() < end:
            for answer in self._received():
                if answer.get("id") == self._number:
                    assert "error" not in answer, answer["error"]
                    return answer["result"]
            time.sleep(0.005)
        raise TimeoutError(method)

    def _received(self) -> list[dict[str, Any]]:
        try:
            self._rest += os.read(self._from, 1 << 20)
        except BlockingIOError:
            return []
        *whole, self._rest = self._rest.split(b"\0")
        return [json.loads(text) for text in whole]

    def wait(self, condition: Any) -> Any:
        """What the condition returns, once that is true."""
        end = time.monotonic() + _PATIENCE
        while not (found := condition()):
            if time.monotonic() > end:
                raise TimeoutError("nothing happened")
            time.sleep(0.02)
        return found

    def open(self, path: Path) -> None:
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait(lambda: self.run("document.readyState") == "complete")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """The left button of the mouse in the middle of an element."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key],
                **(text if kind == "keyDown" else {}),
            )  # fmt: skip

    def picture(self, path: Path) -> None:
        """The page as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
