"""The guide has every command, as `help` writes it."""

import re
from pathlib import Path
from typing import cast

from ghostlive.chat.errors import RefusalError
from ghostlive.chat.moderation.actions import Actions
from ghostlive.chat.moderation.commands import Commands
from ghostlive.chat.service import ChatService

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "chat.md"


def test_every_command_is_in_the_guide() -> None:
    commands = Commands(cast("Actions", None), cast("ChatService", None))
    written = set(re.findall(r"`/([^`]+)`", GUIDE.read_text().partition("## Commands")[2].replace("\\|", "|")))
    assert {command.usage for command in commands.table} <= written
    names = [name for command in commands.table for name in command.names]
    assert len(names) == len(set(names)), "one name, two commands"
    assert all(command.help for command in commands.table)


def test_every_error_has_a_code_of_its_own() -> None:
    def below(error: type[RefusalError]) -> list[type[RefusalError]]:
        return [one for sub in error.__subclasses__() for one in [sub, *below(sub)]]

    ours = [one for one in below(RefusalError) if one.__module__ == "ghostlive.chat.moderation.errors"]
    assert len({one.code for one in ours}) == len(ours) >= 12
