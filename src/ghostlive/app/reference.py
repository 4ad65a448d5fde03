"""The configuration explained: a sample file, and the page `docs/reference/configuration.md`.

`python -m ghostlive.app.reference` prints the page; a test holds the file against it.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from textwrap import wrap
from typing import Any, get_type_hints

from ghostlive.app.config import KEYS, Config, Key

_PAGE = """\
# Configuration

Everything has a default; an empty configuration is a good one. Settings come from `ghostlive.toml` in the data
directory (or from the file that `--config` names), and from the environment, which goes over the file:

```toml
[http]
port = 8080
```

is the same as `GHOSTLIVE_HTTP__PORT=8080`: section and key with two underscores between them. Lists have commas
between their texts in the environment. What there may be several of is a table for each in the file, as
`[[transcode.rendition]]`, and in the environment a text such as `720p60,480p30:always,1080p:av1:4M`, or a JSON list of
objects. Durations are seconds, keys that end in `_bytes` are bytes. A key that does not exist, or a value that is not
accepted, keeps the server from starting, and the message says which and where.
`ghostlive serve --print-config` prints what is in force.

This page is made from the program: `python -m ghostlive.app.reference > docs/reference/configuration.md`.
"""


def sample(config: Config | None = None) -> str:
    """A `ghostlive.toml` with every key, its sentence above it, and the values of `config` (the defaults)."""
    config = config or Config()
    lines: list[str] = []
    for section, keys in _by_section():
        lines += [f"# {line}" for line in wrap(_describe(section), 110)] + [f"[{section}]"]
        for key in keys:
            lines += [f"# {line}" for line in wrap(key.doc, 110)]
            value = getattr(getattr(config, section), key.name)
            lines += _tables(key, value) if key.row is not None else [f"{key.name} = {_toml(key, value)}"]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def page() -> str:
    """The reference page, in Markdown."""
    parts = [_PAGE]
    for section, keys in _by_section():
        parts.append(
            f"\n## {section}\n\n{_describe(section)}\n\n| key | default | accepts | meaning |\n|---|---|---|---|\n"
        )
        parts += [
            f"| `{key.name}` | `{_toml(key, key.default)}` | {key.accepts} | {key.doc.replace('|', chr(92) + '|')} |\n"
            for key in keys
        ]
        for table in keys:
            parts += _page_of_table(table) if table.row is not None else []
    return "".join(parts)


def _page_of_table(key: Key) -> list[str]:
    """What one table of an array has, in Markdown."""
    assert key.row is not None
    head = "| key | default | accepts | meaning |\n|---|---|---|---|\n"
    lines = [
        f"| `{column.name}` | `{_toml(column, column.default)}` | {column.accepts} | {column.doc} |\n"
        for column in key.columns
    ]
    about = (key.row.__doc__ or "").partition("\n\n")[0]
    return [f"\n### [[{key.path}]]\n\n{about} One such table for each.\n\n{head}", *lines]


def _tables(key: Key, rows: Sequence[Any]) -> list[str]:
    """An array of tables; they come last in their section, since every key after them would be theirs."""
    if not rows:
        example = [
            f"# [[{key.path}]]",
            *(f"# {column.name} = {_toml(column, column.default)}" for column in key.columns),
        ]
        return [f"{key.name} = []", "# Instead of that line, for each:", *example]
    return [
        line
        for row in rows
        for line in (
            f"[[{key.path}]]",
            *(f"{column.name} = {_toml(column, getattr(row, column.name))}" for column in key.columns),
        )
    ]


def _by_section() -> list[tuple[str, list[Key]]]:
    return [(section, list(keys)) for section, keys in groupby(KEYS.values(), lambda key: key.section)]


def _describe(section: str) -> str:
    types = get_type_hints(Config)
    assert section in {item.name for item in fields(Config)}
    text = (types[section].__doc__ or "").strip().partition("\n\n")[0]
    text = re.sub(r"^Section `\w+`: ", "", " ".join(text.split()))
    return text[:1].upper() + text[1:]


def _toml(key: Key, value: Any) -> str:
    if key.path in ("database.url", "matrix.database_url"):
        value = re.sub(r"(://[^/:@]*:)[^/@]+@", r"\1…@", value)
    if key.name.endswith(("_secret", "_token")) and value:
        value = "…"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON text is a TOML text
    if isinstance(value, tuple | list | frozenset):
        return json.dumps(list(value), ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:_}" if isinstance(value, int) and value >= 100_000 else str(value)


if __name__ == "__main__":
    sys.stdout.write(page())
