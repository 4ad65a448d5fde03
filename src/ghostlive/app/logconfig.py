"""Settings of the log."""

from dataclasses import dataclass
from typing import Literal

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is logged, and how it looks. The log goes to standard error."""

    format: Literal["auto", "human", "json"] = setting(
        "auto",
        "How a line looks: `human` for people, `json` for programs (one object a line), `auto` for human on a terminal "
        "and JSON otherwise.",
    )
    level: Literal["debug", "info", "warning", "error"] = setting("info", "The least important lines that are logged.")
