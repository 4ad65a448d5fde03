"""Printing: tables for people, JSON for programs, errors in one sentence on standard error."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import typer

from ghostlive.core.errors import GhostliveError

Record = Mapping[str, Any]


def as_record(item: Any, *, without: Sequence[str] = ("id",)) -> dict[str, Any]:
    """A stored record as what is printed of it."""
    return {name: value for name, value in dataclasses.asdict(item).items() if name not in without}


def show_json(value: Record | Sequence[Record]) -> None:
    """Print one JSON document."""
    print(json.dumps(value, default=_encode, ensure_ascii=False, indent=2 if isinstance(value, list) else None))


def show_table(records: Sequence[Record], *, empty: str) -> None:
    """Print a table with a column for each field, or the sentence `empty`."""
    from rich import box  # noqa: PLC0415 - 50 ms that only people pay, not programs
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not records:
        print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in records[0]:
        table.add_column(name.removesuffix("_at").replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(Text(_in_words(value)) for value in record.values()))
    console = Console()
    if not console.is_terminal:  # a pipe has no width; do not fold lines for it
        console = Console(width=1000)
    console.print(table)


def show_fields(record: Record) -> None:
    """Print one record, a line for each field."""
    width = max(len(name) for name in record)
    for name, value in record.items():
        print(f"{name.replace('_', ' '):{width}}  {_in_words(value)}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere insist on `--yes`."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise GhostliveError("nobody is here to ask; add --yes")
    typer.confirm(question, abort=True)


def read_password() -> str:
    """A password from the person at the terminal, or the first line of standard input; never from the arguments."""
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise GhostliveError("no password: type one at the terminal, or put one line on standard input")
    return password


def _encode(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _in_words(value: Any) -> str:
    if value is None:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else str(value)
