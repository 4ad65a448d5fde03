"""Fuzz target: the chat's session, fed with anything after `hello`, and the cleaning of texts and names.

Run with `python -m tests.fuzz.fuzz_chat [CORPUS…]`; nothing may escape, and whatever gets through is clean.
"""

import contextlib
import json
import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.chat", "ghostlive.core.text"]):
    from ghostlive.chat.config import ChatConfig
    from ghostlive.chat.errors import RefusalError
    from ghostlive.chat.gateway.messages import BanAuthor, Edit, Join, Moderate, Post, React, SlashCommand
    from ghostlive.chat.gateway.session import Session
    from ghostlive.chat.names import check_name, skeleton
    from ghostlive.chat.people import Author
    from ghostlive.core.text import clean_line, clean_text

from tests.support.chat import unframe

_CONFIG = ChatConfig()


def test_one_input(data: bytes) -> None:
    """The first byte says as whom; messages are separated by zeros."""
    if not data:
        return
    session = Session(_CONFIG)
    session.receive('{"type":"hello"}', 0.0)
    session.moderates = bool(data[0] & 1)
    if data[0] & 2:
        session.author = Author("g_fuzz", "Fuzz")
    for number, message in enumerate(data[1:].split(b"\0")):
        command = session.receive(message.decode(errors="replace"), number / 10)
        if isinstance(command, Post | Edit):
            assert 0 < len(command.text) <= _CONFIG.message_length
            assert clean_text(command.text) == command.text
        elif isinstance(command, React):
            assert 0 < len(command.key) <= 64
            assert clean_line(command.key) == command.key
        elif isinstance(command, SlashCommand):
            assert clean_line(command.text) == command.text
        elif isinstance(command, BanAuthor | Moderate):
            assert clean_line(command.reason) == command.reason
        elif isinstance(command, Join):
            with contextlib.suppress(RefusalError):
                name = check_name(command.name, _CONFIG.name_length, frozenset())
                assert check_name(name, _CONFIG.name_length, frozenset()) == name
                assert skeleton(name)
        for sent in unframe(session.data_to_send()):
            assert json.loads(sent)["type"] in ("error", "pong")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
