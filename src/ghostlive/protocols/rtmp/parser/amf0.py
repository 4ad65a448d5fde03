"""AMF0 values ↔ Python values (AMF 0 specification).

Number → float, String and Long String and XML → str, Object, ECMA Array and Typed Object → dict, Strict Array → list,
Date → float (milliseconds since 1970), Null and Undefined → None. A reference is the object it names.

Hostile values are bounded in depth, in number and by the bytes that carry them: a count is never believed before
its values are there.
"""

import struct
from collections.abc import Mapping
from typing import Final

from ghostlive.protocols.rtmp.errors import AmfError
from ghostlive.protocols.rtmp.parser.amf import AmfBudget, Value, Writable
from ghostlive.protocols.rtmp.parser.amf3 import Amf3Reader

_NUMBER: Final = 0x00
_BOOLEAN: Final = 0x01
_STRING: Final = 0x02
_OBJECT: Final = 0x03
_NULL: Final = 0x05
_UNDEFINED: Final = 0x06
_REFERENCE: Final = 0x07
_ECMA_ARRAY: Final = 0x08
_STRICT_ARRAY: Final = 0x0A
_DATE: Final = 0x0B
_LONG_STRING: Final = 0x0C
_UNSUPPORTED: Final = 0x0D
_XML: Final = 0x0F
_TYPED_OBJECT: Final = 0x10
_AMF3: Final = 0x11

_DOUBLE = struct.Struct(">d")


class EcmaArray(dict[str, Writable]):
    """A dict to be written as ECMA array, which `onMetaData` wants."""


def decode(data: bytes) -> list[Value]:
    """All values of a command or data message."""
    reader = _Reader(data)
    values: list[Value] = []
    while reader.at < len(data):
        values.append(reader.value(0))
    return values


def encode(*values: Writable) -> bytes:
    """The bytes of `values`, one after the other."""
    output = bytearray()
    for value in values:
        _write(output, value)
    return bytes(output)


class _Reader:
    """A cursor over one message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._budget = AmfBudget()
        self._objects: list[Value] = []
        self.at = 0

    def value(self, depth: int) -> Value:
        """The value at the cursor."""
        self._budget.spend(depth)
        marker = self._take(1)[0]
        if marker == _NUMBER:
            return self._double()
        if marker == _STRING:
            return self._string(2)
        if marker == _BOOLEAN:
            return self._take(1) != b"\x00"
        if marker in (_NULL, _UNDEFINED, _UNSUPPORTED):
            return None
        if marker == _OBJECT:
            return self._object(depth)
        if marker == _ECMA_ARRAY:
            self._take(4)  # The count is a hint (§2.10), and often wrong.
            return self._object(depth)
        if marker == _TYPED_OBJECT:
            self._string(2)
            return self._object(depth)
        if marker == _STRICT_ARRAY:
            return self._array(depth)
        if marker in (_LONG_STRING, _XML):
            return self._string(4)
        if marker == _DATE:
            date = self._double()
            self._take(2)
            return date
        if marker == _REFERENCE:
            return self._reference()
        if marker == _AMF3:
            return self._amf3(depth)
        raise AmfError(f"AMF0 marker {marker:#04x} is unknown")

    def _take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self._data):
            raise AmfError("an AMF0 value is cut short")
        return self._data[start : self.at]

    def _double(self) -> float:
        number: float = _DOUBLE.unpack(self._take(8))[0]
        return number

    def _string(self, length_size: int) -> str:
        return self._take(int.from_bytes(self._take(length_size), "big")).decode("utf-8", "replace")

    def _object(self, depth: int) -> dict[str, Value]:
        result: dict[str, Value] = {}
        self._objects.append(result)
        while True:
            if self._data[self.at : self.at + 3] == b"\x00\x00\x09":
                self.at += 3
                return result
            key = self._string(2)
            result[key] = self.value(depth + 1)

    def _array(self, depth: int) -> list[Value]:
        result: list[Value] = []
        self._objects.append(result)
        for _ in range(int.from_bytes(self._take(4), "big")):
            result.append(self.value(depth + 1))  # noqa: PERF401 - the list is known to references while it grows
        return result

    def _reference(self) -> Value:
        index = int.from_bytes(self._take(2), "big")
        if index >= len(self._objects):
            raise AmfError(f"AMF0 reference {index} names no object")
        return self._objects[index]

    def _amf3(self, depth: int) -> Value:
        reader = Amf3Reader(self._data, self.at, self._budget)
        value = reader.value(depth + 1)
        self.at = reader.at
        return value


def _write(output: bytearray, value: Writable) -> None:
    if value is None:
        output.append(_NULL)
    elif isinstance(value, bool):
        output += bytes([_BOOLEAN, value])
    elif isinstance(value, int | float):
        output.append(_NUMBER)
        output += _DOUBLE.pack(value)
    elif isinstance(value, str):
        text = value.encode()
        if len(text) < 0x10000:
            output.append(_STRING)
            output += len(text).to_bytes(2, "big") + text
        else:
            output.append(_LONG_STRING)
            output += len(text).to_bytes(4, "big") + text
    elif isinstance(value, Mapping):
        if isinstance(value, EcmaArray):
            output.append(_ECMA_ARRAY)
            output += len(value).to_bytes(4, "big")
        else:
            output.append(_OBJECT)
        for key, member in value.items():
            name = key.encode()
            output += len(name).to_bytes(2, "big") + name
            _write(output, member)
        output += b"\x00\x00\x09"
    else:
        output.append(_STRICT_ARRAY)
        output += len(value).to_bytes(4, "big")
        for member in value:
            _write(output, member)
