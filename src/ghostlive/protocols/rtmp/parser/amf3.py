"""AMF3 values → Python values (AMF 3 specification), as far as encoders use them inside AMF0 messages.

Read only: answers are always AMF0. Types map as in `amf0`; Byte Array → str of its hexadecimal digits. Vectors,
dictionaries and externalizable objects never come from an encoder and are refused.
"""

import struct
from typing import Final

from ghostlive.protocols.rtmp.errors import AmfError
from ghostlive.protocols.rtmp.parser.amf import AmfBudget, Value

_UNDEFINED: Final = 0x00
_NULL: Final = 0x01
_FALSE: Final = 0x02
_TRUE: Final = 0x03
_INTEGER: Final = 0x04
_DOUBLE: Final = 0x05
_STRING: Final = 0x06
_XML_DOCUMENT: Final = 0x07
_DATE: Final = 0x08
_ARRAY: Final = 0x09
_OBJECT: Final = 0x0A
_XML: Final = 0x0B
_BYTE_ARRAY: Final = 0x0C


class Amf3Reader:
    """A cursor over AMF3 values; strings, objects and traits are remembered for references (§2.2)."""

    def __init__(self, data: bytes, at: int, budget: AmfBudget) -> None:
        """Read `data` from `at`."""
        self._data = data
        self._budget = budget
        self._strings: list[str] = []
        self._objects: list[Value] = []
        self._traits: list[tuple[bool, list[str]]] = []
        self.at = at

    def value(self, depth: int) -> Value:
        """The value at the cursor."""
        self._budget.spend(depth)
        marker = self._take(1)[0]
        if marker in (_UNDEFINED, _NULL):
            return None
        if marker in (_FALSE, _TRUE):
            return marker == _TRUE
        if marker == _INTEGER:
            number = self._integer()
            return float(number - 0x20000000 if number & 0x10000000 else number)
        if marker == _DOUBLE:
            return self._double()
        if marker == _STRING:
            return self._string()
        if marker in (_XML_DOCUMENT, _XML, _BYTE_ARRAY, _DATE, _ARRAY, _OBJECT):
            header = self._integer()
            if not header & 1:
                return self._reference(header >> 1)
            return self._complex(marker, header >> 1, depth)
        raise AmfError(f"AMF3 marker {marker:#04x} is not supported")

    def _complex(self, marker: int, header: int, depth: int) -> Value:
        if marker == _ARRAY:
            return self._array(header, depth)
        if marker == _OBJECT:
            return self._object(header, depth)
        value: Value
        if marker == _DATE:
            value = self._double()
        elif marker == _BYTE_ARRAY:
            value = self._take(header).hex()
        else:
            value = self._take(header).decode("utf-8", "replace")
        self._objects.append(value)
        return value

    def _take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self._data):
            raise AmfError("an AMF3 value is cut short")
        return self._data[start : self.at]

    def _integer(self) -> int:
        """U29: seven bits a byte, eight in the fourth (§1.3.1)."""
        number = 0
        for _ in range(3):
            byte = self._take(1)[0]
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._take(1)[0]

    def _double(self) -> float:
        number: float = struct.unpack(">d", self._take(8))[0]
        return number

    def _string(self) -> str:
        header = self._integer()
        if header & 1:
            text = self._take(header >> 1).decode("utf-8", "replace")
            if text:
                self._strings.append(text)
            return text
        if header >> 1 >= len(self._strings):
            raise AmfError("an AMF3 reference names no string")
        return self._strings[header >> 1]

    def _reference(self, index: int) -> Value:
        if index >= len(self._objects):
            raise AmfError("an AMF3 reference names no object")
        return self._objects[index]

    def _array(self, count: int, depth: int) -> Value:
        named: dict[str, Value] = {}
        listed: list[Value] = []
        slot = len(self._objects)
        self._objects.append(None)
        while key := self._string():
            named[key] = self.value(depth + 1)
        for _ in range(count):
            listed.append(self.value(depth + 1))  # noqa: PERF401 - may raise half-way, a count is not believed
        if not named:
            self._objects[slot] = listed
            return listed
        named.update((str(index), member) for index, member in enumerate(listed))
        self._objects[slot] = named
        return named

    def _object(self, header: int, depth: int) -> Value:
        if not header & 1:
            if header >> 1 >= len(self._traits):
                raise AmfError("an AMF3 reference names no traits")
            dynamic, names = self._traits[header >> 1]
        else:
            if header & 2:
                raise AmfError("externalizable AMF3 objects are not supported")
            dynamic = bool(header & 4)
            self._string()
            names = []
            for _ in range(header >> 3):
                self._budget.spend(depth)
                names.append(self._string())
            self._traits.append((dynamic, names))
        result: dict[str, Value] = {}
        self._objects.append(result)
        for name in names:
            result[name] = self.value(depth + 1)
        if dynamic:
            while key := self._string():
                result[key] = self.value(depth + 1)
        return result
