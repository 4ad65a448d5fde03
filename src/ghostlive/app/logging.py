"""The log: structured, one form for our own lines and for those of libraries, and never a secret in it.

Our code logs through `structlog.get_logger("room")`, libraries through `logging`; both end in one handler on standard
error. `redact` is the last thing that happens to a line before it is written out.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from ghostlive.app.logconfig import LogConfig

_SECRET_FIELD = re.compile(r"(?:^|_)(?:key|password|token|secret|authorization|cookie)s?$", re.IGNORECASE)
_SECRETS_IN_TEXT = (
    (re.compile(r"((?:^|[?&;,\s\"'(])(?:\w+_)?(?:key|password|token|secret)=)[^&\s\"',;)]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"\bgl_[a-z2-7]{28}([a-z2-7]{4})\b"), r"gl_…\1"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1…@"),
)
_CHATTY = ("uvicorn", "alembic", "asyncio", "websockets", "httpx", "httpcore")
"""Libraries whose small talk is of interest only when one looks for it (`log.level = "debug"`)."""
_STRANGERS = ("uvicorn",)
"""Libraries that warn of each request that is none. That costs a stranger nothing: only their errors are logged."""


def setup_logging(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send every line to `stream` (standard error) as `config` says. Calling again replaces what was set."""
    stream = stream or sys.stderr
    human = config.format == "human" or (config.format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
        if human
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        least = logging.ERROR if name in _STRANGERS else logging.WARNING
        logging.getLogger(name).setLevel(level if config.level == "debug" else max(level, least))
    logging.getLogger("aiosqlite").setLevel(max(level, logging.INFO))  # its debug lines hold whole statements
    logging.captureWarnings(True)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a line: fields that are named like one, and `key=…`, stream keys and passwords in texts."""
    for name, value in event.items():
        if name.startswith("_"):  # structlog's own, not printed
            continue
        event[name] = _clean(name, value)
    return event


def _clean(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if _SECRET_FIELD.search(name):
        return "…"
    if isinstance(value, str):
        for pattern, replacement in _SECRETS_IN_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, dict):
        return {key: _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    return _clean(name, str(value))
