# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickles of numbers, read as data: a list of instructions that is interpreted here, and none of it is run.

Research models come as pickles. Python's own reader imports and calls whatever a pickle names; this one knows arrays,
sparse matrices and chumpy's wrappers by name, rebuilds them itself, and refuses every other name.
"""

import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .track import refuse

LARGEST = 2 << 30  # [bytes]
_INSTRUCTIONS = 20_000_000  # an hour of parameters at thirty frames per second has half of them
_DEEPEST = 40  # containers inside each other
_ARRAY, _DTYPE, _SCALAR, _BUFFER, _ENCODE, _SPARSE, _WRAPPER, _MAKE, _OBJECT, _DICT = range(10)
_KNOWN = {
    **{f"numpy.{core}.multiarray._reconstruct": _ARRAY for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _SCALAR for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _BUFFER for core in ("core", "_core")},
    "numpy.ndarray": _OBJECT, "numpy.dtype": _DTYPE, "_codecs.encode": _ENCODE,
    **{f"scipy.sparse.{room}{kind}.{kind}_{form}": _SPARSE
       for room in ("", "_") for kind in ("csc", "csr") for form in ("matrix", "array")},
    "copy_reg._reconstructor": _MAKE, "copyreg._reconstructor": _MAKE,
    "__builtin__.object": _OBJECT, "builtins.object": _OBJECT, "collections.OrderedDict": _DICT,
}  # fmt: skip
_VALUES = {  # opcodes that push their argument
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING"),
    *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MARK = object()


class _Name:
    """A name that a pickle gives; `kind` says what it stands for."""

    def __init__(self, name: str):
        self.name = name
        self.kind = _WRAPPER if name.startswith("chumpy.") else _KNOWN.get(name)
        if self.kind is None:
            raise ValueError(f"it names {name[:80]}, which is neither an array nor a matrix; nothing of it was run")


class _Record:
    """Something that a pickle builds from a name, arguments and a state."""

    def __init__(self, of: Any, args: Any):
        if not isinstance(of, _Name) or not isinstance(args, tuple):
            raise ValueError("it calls something that is no name")
        if of.kind == _MAKE and args and isinstance(args[0], _Name):
            of = args[0]
        self.of, self.args = of, args
        self.state: Any = None


class _Made:
    """What has been made. values: by identity, to make nothing twice; size [bytes]: of arrays."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        self.size = 0

    def add(self, size: int) -> None:
        """Raises ValueError if all arrays together are too large: a few bytes can be named again and again."""
        self.size += size
        if self.size > LARGEST:
            raise ValueError(f"its arrays take more than {LARGEST >> 30} GB")


def read_pickle(path: Path) -> Any:
    """Dictionaries, lists, numbers, text and arrays of a pickle; sparse matrices as dense arrays.

    Raises TrackError if it is damaged, too large, or names anything but arrays and matrices.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 30} GB")
        return _plain(_interpret(path.read_bytes()), _Made(), 0)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, OSError) as error:
        raise refuse(path, f"it cannot be read as data ({' '.join(str(error).split()).rstrip('.')})") from error


def _interpret(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def after_mark() -> list[Any]:
        at = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[at + 1 :]
        del stack[at:]
        return items

    value: Any
    for count, (opcode, value, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if count > _INSTRUCTIONS:
            raise ValueError("it has too many instructions")
        if name in _VALUES:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "GLOBAL":
            stack.append(_Name(str(value).replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            last = stack.pop()
            stack.append(_Name(f"{stack.pop()}.{last}"))
        elif name in ("REDUCE", "NEWOBJ"):
            args = stack.pop()
            stack.append(_Record(stack.pop(), args))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Record):
                raise ValueError("it gives a state to what has none")
            stack[-1].state = state
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ("TUPLE", "LIST", "DICT"):
            items = after_mark()
            made = dict(zip(_keys(items[::2]), items[1::2], strict=True)) if name == "DICT" else items
            stack.append(tuple(items) if name == "TUPLE" else made)
        elif name in ("APPEND", "APPENDS"):
            items = after_mark() if name == "APPENDS" else [stack.pop()]
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = after_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            target = stack[-1]
            if isinstance(target, _Record) and target.of.kind == _DICT:
                target.state = target.state or {}
                target = target.state
            _expect(target, dict).update(zip(_keys(items[::2]), items[1::2], strict=True))
        elif name == "POP":
            stack.pop()
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it uses {name}, which data does not need; nothing of it was run")
    raise ValueError("it ends early")


def _keys(items: list[Any]) -> list[Any]:
    """Keys of a dictionary: text and numbers. Nested tuples can take for ever to hash."""
    keys = [_plain(key, _Made(), 0) for key in items]
    if not all(isinstance(key, str | bytes | int | float | np.generic | None) for key in keys):
        raise ValueError("a key of its dictionaries is neither text nor a number")
    return keys


def _expect(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"it takes a {type(value).__name__} for a {kind.__name__}")
    return value


def _plain(value: Any, done: _Made, depth: int) -> Any:
    """The value with every record replaced by what it stands for."""
    if depth > _DEEPEST:
        raise ValueError("its containers are nested too deeply")
    if not isinstance(value, _Record | dict | list | tuple | _Name):
        return value
    if id(value) not in done.values:
        if isinstance(value, dict):
            made: Any = {key: _plain(item, done, depth + 1) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            made = type(value)(_plain(item, done, depth + 1) for item in value)
        elif isinstance(value, _Record):
            made = _rebuilt(value, done, depth + 1)
        else:
            made = None  # a name by itself is of no use
        done.values[id(value)] = made
    return done.values[id(value)]


def _rebuilt(record: _Record, done: _Made, depth: int) -> Any:
    kind, state = record.of.kind, record.state
    if kind == _ARRAY:
        _, shape, dtype, fortran, data = _expect(state, tuple)
        return _array(done, _plain(data, done, depth), _plain(dtype, done, depth), shape, "F" if fortran else "C")
    if kind == _BUFFER:
        data, dtype, shape, order = record.args
        return _array(done, _plain(data, done, depth), _plain(dtype, done, depth), shape, _expect(order, str))
    if kind == _DTYPE:
        name = str(record.args[0])
        if re.fullmatch(r"[fiubSU]\d{1,4}|O8?", name) is None:
            raise ValueError(f"its array holds {name[:20]}, not numbers")
        order = state[1] if isinstance(state, tuple) and state[1] in ("<", ">") else "|" if name[0] in "bSO" else "<"
        return "O" if name[0] == "O" else f"{order}{name}"
    if kind == _SCALAR:
        return _array(done, _plain(record.args[1], done, depth), _plain(record.args[0], done, depth), (), "C")[()]
    if kind == _ENCODE:
        return _expect(record.args[0], str).encode("latin-1")
    if kind == _SPARSE:
        return _dense(done, record.of.name, _plain(state, done, depth))
    if kind == _DICT:
        return {key: _plain(item, done, depth) for key, item in (state or {}).items()}
    if kind == _WRAPPER:  # chumpy keeps the array as `x`; results of its arithmetic cannot be had without running it
        fields = _plain(state, done, depth)
        inside = fields.get("x") if isinstance(fields, dict) else None
        if inside is None and isinstance(fields, dict) and isinstance(fields.get("a"), np.ndarray) and "idxs" in fields:
            chosen = fields["a"].ravel()[np.asarray(fields["idxs"])]
            return chosen.reshape(fields.get("preferred_shape", chosen.shape))
        return inside
    raise ValueError(f"it makes a {record.of.name}, which holds no numbers")


def _array(done: _Made, data: Any, dtype: Any, shape: Any, order: str) -> Any:
    if dtype == "O":
        return data
    raw = data.encode("latin-1") if isinstance(data, str) else data  # text of Python 2 is bytes
    size = np.dtype(_expect(dtype, str)).itemsize
    for length in _expect(shape, tuple):
        size *= _expect(length, int)
    if not isinstance(raw, bytes | bytearray) or len(raw) != size:
        raise ValueError(f"an array of shape {shape} claims {size} bytes, but holds {len(raw)}")
    done.add(size)
    return np.frombuffer(bytes(raw), dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _dense(done: _Made, name: str, state: Any) -> NDArray[np.float64]:
    """A sparse matrix from its fields; scipy is asked only for the sums."""
    fields = _expect(state, dict)
    rows, columns = (int(n) for n in fields.get("_shape", fields.get("shape")))
    by_column = ".csc_" in name
    long = columns if by_column else rows
    start, index, values = (np.asarray(fields[key]) for key in ("indptr", "indices", "data"))
    if rows < 0 or columns < 0 or start.shape != (long + 1,) or (np.diff(start) < 0).any():
        raise ValueError(f"a sparse matrix of {rows} × {columns} is not whole")
    outer = np.repeat(np.arange(long), np.diff(start))
    inner = index[start[0] : start[-1]]
    if len(outer) != len(inner) or len(values) != len(index) or (len(inner) and inner.min() < 0):
        raise ValueError("a sparse matrix is not whole")
    done.add(8 * rows * columns)
    dense = np.zeros((rows, columns))
    np.add.at(dense, (inner, outer) if by_column else (outer, inner), values[: len(inner)])
    return dense
