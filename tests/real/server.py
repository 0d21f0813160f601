# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside Blender's window: takes Python from the test that drives it, line by line as JSON, and answers.

`blender --python tests/real/server.py -- PORT`. Runs in a timer, so that operators and playback go on in between.
"""

import json
import socket
import sys
import traceback

import bpy

_EVERY = 0.02  # [s]

_connection = socket.create_connection(("127.0.0.1", int(sys.argv[sys.argv.index("--") + 1])))
_connection.setblocking(False)
_names: dict = {"bpy": bpy}
_received = b""


def _answer(code: str) -> dict:
    _names["result"] = None
    try:
        exec(code, _names)
        return {"result": _names["result"]}
    except Exception:  # noqa: BLE001 - the test gets it
        return {"error": traceback.format_exc()}


def _listen() -> float | None:
    global _received
    try:
        data = _connection.recv(65536)
    except BlockingIOError:
        return _EVERY
    if not data:
        bpy.ops.wm.quit_blender()
        return None
    _received += data
    while b"\n" in _received:
        line, _, _received = _received.partition(b"\n")
        answer = json.dumps(_answer(json.loads(line))).encode() + b"\n"
        _connection.setblocking(True)
        _connection.sendall(answer)
        _connection.setblocking(False)
    return _EVERY


bpy.app.timers.register(_listen, persistent=True)
