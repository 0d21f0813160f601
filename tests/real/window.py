# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives Blender's window on a virtual screen with a real mouse and keyboard (xdotool), and takes pictures of it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZE = (1600, 1000)
TOOLS = ("Xvfb", "xdotool", "import")
_PAUSE = 0.15  # [s] for Blender to take an event in and draw
_SCROLL = 8  # turns of the wheel, somewhat less than a page
_DRAWINGS = 3
_DRAWN = 0.5  # [s] until what has changed is on the screen; the processor draws it
_ASIDE = (1450, 300)  # where the mouse covers nothing
_START_SECONDS = 300
_STEP = 16  # [px] between two places where a button is looked for; buttons are 20 high


def missing_tools() -> list[str]:
    """What the virtual screen needs and this machine lacks."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


class Window:
    """A Blender with the add-on, on a screen of its own. Use it as a context manager.

    pictures: folder of the screenshots; they are numbered in the order in which they are taken.
    """

    def __init__(self, program: str, resources: Path, pictures: Path):
        self.program, self.resources, self.pictures = program, resources, pictures
        self._ends = contextlib.ExitStack()
        self._received = b""
        self._taken = 0
        self._seen: dict[str, tuple[float, float]] = {}  # of buttons, as share of the width and pixels from the top

    def __enter__(self) -> "Window":
        with contextlib.ExitStack() as ends:
            self._ends = ends
            self._start_screen()
            self._start_blender()
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def run(self, code: str, timeout: float = 300.0):
        """Runs Python inside Blender and returns what it left in `result`. Raises AssertionError with its traceback."""
        self._connection.settimeout(timeout)
        self._connection.sendall(json.dumps(code).encode() + b"\n")
        while b"\n" not in self._received:
            data = self._connection.recv(65536)
            assert data, "Blender is gone:\n" + self.log()
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        answer = json.loads(line)
        assert "error" not in answer, answer.get("error")
        return answer["result"]

    def value(self, expression: str):
        """The value of an expression inside Blender."""
        return self.run(f"result = {expression}")

    def wait(self, expression: str, timeout: float = 600.0) -> float:
        """Waits until an expression is true inside Blender; returns the seconds it took."""
        started = time.monotonic()
        while not self.value(f"bool({expression})"):
            if time.monotonic() - started > timeout:
                raise AssertionError(
                    f"{expression} is not true after {timeout} s, see {self.picture('waited-in-vain')}\n{self.log()}"
                )
            time.sleep(0.05)
        return time.monotonic() - started

    def move(self, x: float, y: float) -> None:
        """Moves the mouse, in pixels from the lower left corner as Blender counts."""
        self._tool("xdotool", "mousemove", str(round(x)), str(round(SIZE[1] - 1 - y)))

    def click(self, x: float, y: float, button: int = 1) -> None:
        self.move(x, y)
        time.sleep(_PAUSE)
        self._tool("xdotool", "click", str(button))
        time.sleep(_PAUSE)

    def confirm_file(self) -> None:
        """Clicks the button that ends the file window."""
        self.wait("file_button()")
        time.sleep(1)
        self.click(*self.value("file_button()"))

    def click_here(self) -> None:
        """Clicks where the mouse is, without waiting."""
        self._tool("xdotool", "click", "1")

    def key(self, *names: str, pause: float = _PAUSE) -> None:
        """Presses keys as xdotool calls them: 'Escape', 'ctrl+z', 'space'."""
        self._tool("xdotool", "key", *names)
        time.sleep(pause)

    def picture(self, name: str) -> Path:
        """Takes a picture of the screen."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        self._taken += 1
        path = self.pictures / f"{self._taken:02d}-{name}.png"
        self.move(*_ASIDE)  # no tooltip in the picture
        for _ in range(_DRAWINGS):  # an answer comes after what was to be drawn; a busy machine takes its time
            time.sleep(_DRAWN)
            self.run("redraw()")
        self._tool("import", "-window", "root", str(path))
        return path

    def open_tab(self, panels: dict[str, bool] | None = None) -> None:
        """Opens the sidebar's NePHIM tab by the mouse."""
        self.run("sidebar().tag_redraw()")
        for _ in range(40):
            x, y, width, height, tab = self.value("place()")
            if tab == "NePHIM":
                return
            # Tabs stand on the right edge, one below the other.
            top = y + height
            for below in range(20, height, 30):
                self.click(x + width - 12, top - below)
                if self.value("place()[4]") == "NePHIM":
                    return
        raise AssertionError("the tab was not found")

    def find(self, command: str) -> tuple[float, float]:
        """Where the button of an operator is in the sidebar: the mouse is led over it until Blender says it is there.

        command: how its Python begins, as "bpy.ops.nephim.bake(to='shape-keys'". It is looked for where it, or another
        button of its operator, was seen last, then further and further away.
        """
        for clicks in (0, _SCROLL, _SCROLL, _SCROLL, _SCROLL, -6 * _SCROLL):
            self.scroll(clicks)
            place = self._look_for(command)
            if place is not None:
                return place
        raise AssertionError(f"there is no button {command}; seen: {list(self._seen)}")

    def scroll(self, clicks: int) -> None:
        """Turns the wheel over the sidebar, downwards where positive."""
        if clicks:
            x, y, width, height, _ = self.value("place()")
            self.move(x + width / 2, y + height / 2)
            self._tool("xdotool", "click", "--repeat", str(abs(clicks)), "--delay", "30", "5" if clicks > 0 else "4")
            time.sleep(_DRAWN)

    def _look_for(self, command: str) -> tuple[float, float] | None:
        x, y, width, height, _ = self.value("place()")
        operator = command.partition("(")[0]
        likely = [seen for name, seen in self._seen.items() if name.startswith(operator)]
        near = next((seen for name, seen in self._seen.items() if name.startswith(command)), (likely or [(0.5, 0)])[0])
        places = [(share, below) for share in (0.5, 0.3, 0.7, 0.9, 0.1) for below in range(8, height, _STEP)]
        if likely:
            places.sort(key=lambda place: abs(place[1] - near[1]))
        for share, below in [near, *places]:
            place = (x + share * (width - 24), y + height - below)
            self.move(*place)
            time.sleep(0.03)
            self.value("place()")  # while Blender draws, one answer comes before the mouse is seen to have arrived
            found = self.value("hovered()")
            if found:
                self._seen[found] = (share, below)
            if found.startswith(command):
                return place
        return None

    def press(self, command: str) -> None:
        """Clicks the button of an operator in the sidebar."""
        place = self.find(command)
        # A button pressed before takes another press only after the mouse has been elsewhere (seen in Blender 4.3).
        self.move(*_ASIDE)
        time.sleep(_DRAWN)
        self.click(*place)
        # Where drawing is slow, Blender may answer before it has taken up press, release and what they start.
        for _ in range(3):
            self.run("redraw()")

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def _tool(self, *command: str) -> None:
        subprocess.run(command, check=True, env=self._environment, timeout=600, stdout=subprocess.DEVNULL)

    def _start_screen(self) -> None:
        read, write = os.pipe()
        screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp"],
            pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._ends.callback(_end, screen)
        os.close(write)
        with os.fdopen(read) as stream:
            number = stream.readline().strip()
        assert number, "there is no virtual screen"
        self._environment = os.environ | {"DISPLAY": f":{number}", "LIBGL_ALWAYS_SOFTWARE": "1"}

    def _start_blender(self) -> None:
        listener = self._ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(_START_SECONDS)
        self.resources.mkdir(parents=True, exist_ok=True)
        self._log = self.resources / "blender.log"
        output = self._ends.enter_context(self._log.open("w"))
        blender = subprocess.Popen(
            [self.program, "--factory-startup", "--python-use-system-env", "--window-geometry", "0", "0",
             *map(str, SIZE), "--python", str(HERE / "server.py"), "--", str(listener.getsockname()[1])],
            stdout=output, stderr=subprocess.STDOUT,
            env=self._environment | {"BLENDER_USER_RESOURCES": str(self.resources), "HOME": str(self.resources)},
        )  # fmt: skip
        self._ends.callback(_end, blender)
        try:
            self._connection, _ = listener.accept()
        except TimeoutError:
            raise AssertionError("Blender did not start:\n" + self.log()) from None
        self._ends.callback(self._connection.close)
        self.run((HERE / "inside.py").read_text(encoding="utf-8"), timeout=120)


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
