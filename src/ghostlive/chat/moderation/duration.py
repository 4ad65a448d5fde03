"""Lengths of time as people write and read them: `90`, `10m`, `1h30m`, `2d`, `1w`."""

import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PARTS: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_WHOLE: Final = re.compile(r"(?:\d{1,9}[smhdw]){1,5}", re.ASCII)
_PLAIN: Final = re.compile(r"\d{1,9}", re.ASCII)
_NAMES: Final = ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def parse_duration(text: str) -> float | None:
    """Seconds; None when that is no length of time. A bare number is seconds."""
    if _PLAIN.fullmatch(text):
        return float(text)
    if not _WHOLE.fullmatch(text.lower()):
        return None
    return float(sum(int(number) * _UNITS[unit] for number, unit in _PARTS.findall(text.lower())))


def say_duration(seconds: float) -> str:
    """`seconds` as they are read, in at most two units: "1 hour 30 minutes"."""
    left = round(seconds)
    parts: list[str] = []
    for size, name in _NAMES:
        if left >= size and len(parts) < 2:
            number, left = divmod(left, size)
            parts.append(f"{number} {name}{'s' if number != 1 else ''}")
        elif parts:
            break
    return " ".join(parts) or "0 seconds"
