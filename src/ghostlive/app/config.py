"""The configuration: every room's section in one `Config`.

Environment (`GHOSTLIVE_SECTION__KEY`) goes over `ghostlive.toml`, which goes over the defaults. Whatever is wrong is
said at once, each with where it stands, and nothing unknown is passed over: a misspelt key would leave its default in
force without a word. A room is added by one line in `Config`.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ValidationError, create_model
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ghostlive.app.logconfig import LogConfig
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.core.errors import ConfigurationError
from ghostlive.core.settings import setting
from ghostlive.db.config import DatabaseConfig
from ghostlive.hub.config import HubConfig
from ghostlive.packager.config import PackagerConfig
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.transcode.config import MAX_RENDITIONS, RenditionSettingError, TranscodeConfig
from ghostlive.transcode.laddertext import read_renditions
from ghostlive.web.config import HttpConfig

FILE_NAME = "ghostlive.toml"
PREFIX = "GHOSTLIVE_"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """This server as others see it."""

    public_host: str = setting(
        "localhost",
        "Name or address under which streamers and viewers reach this server, as commands print it.",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator can set, by section."""

    server: ServerConfig = field(default_factory=ServerConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    rtmp: RtmpConfig = field(default_factory=RtmpConfig)
    rtmps: RtmpsConfig = field(default_factory=RtmpsConfig)
    webrtc: WebRtcConfig = field(default_factory=WebRtcConfig)
    hub: HubConfig = field(default_factory=HubConfig)
    packager: PackagerConfig = field(default_factory=PackagerConfig)
    transcode: TranscodeConfig = field(default_factory=TranscodeConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    matrix: MatrixConfig = field(default_factory=MatrixConfig)
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: what documents and messages say of it."""

    section: str
    name: str
    type: Any
    default: Any
    doc: str

    @property
    def path(self) -> str:
        """As in `ghostlive.toml`: `http.port`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """As in the environment: `GHOSTLIVE_HTTP__PORT`."""
        return f"{PREFIX}{self.section}__{self.name}".upper()

    @property
    def accepts(self) -> str:
        """What a value may be, in words."""
        if self.row is not None:
            return f"tables [[{self.path}]] (in the environment: as 720p60,480p30:always, or a JSON list)"
        return "a port number from 0 to 65535" if self.name == "port" else _in_words(self.type)

    @property
    def row(self) -> Any:
        """The dataclass of one table, where the value is an array of tables; None where it is not."""
        row = get_args(self.type)[0] if _is_list(self.type) else None
        return row if isinstance(row, type) and is_dataclass(row) else None

    @property
    def columns(self) -> "list[Key]":
        """The keys of one table, where the value is an array of tables."""
        return [] if self.row is None else list(_keys_of(self.path, self.row))


def load_config(data_dir: Path, file: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration of `data_dir`, or that of `file`. Raises `ConfigurationError` with all that is wrong."""
    problems: list[str] = []
    path = file or data_dir / FILE_NAME
    in_file = _read_file(path, problems) if file or path.is_file() else {}
    in_environment = _read_environment(os.environ if environ is None else environ, problems)

    for given, place in ((in_environment, None), (in_file, path)):
        problems += _drop_out_of_range(given, place)
    try:
        settings: Any = _model(in_environment, in_file)()
    except ValidationError as error:
        problems += [_explain(detail, in_environment, path) for detail in error.errors(include_url=False)]
    if not problems:
        return Config(**{section: getattr(settings, section) for section in _SECTIONS})
    raise ConfigurationError(
        problems[0] if len(problems) == 1 else "\n  ".join([f"{len(problems)} settings cannot be used:", *problems])
    )


def _keys() -> dict[str, Key]:
    return {key.path: key for section, cls in get_type_hints(Config).items() for key in _keys_of(section, cls)}


def _keys_of(section: str, cls: type[Any]) -> Iterator[Key]:
    hints = get_type_hints(cls)
    for item in fields(cls):
        yield Key(section, item.name, hints[item.name], _default(item), item.metadata["doc"])


def _default(item: "Field[Any]") -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


KEYS = _keys()
"""Every key by its path, in the order of the documentation."""
_SECTIONS = [section.name for section in fields(Config)]
_VARIABLES = {key.variable: key for key in KEYS.values()}
_OTHER_VARIABLES = {f"{PREFIX}DATA", f"{PREFIX}CONFIG"}


def _model(*sources: dict[str, dict[str, Any]]) -> type[BaseSettings]:
    """The sections as a pydantic-settings model that reads `sources`, the first over the second.

    Its own environment source is not used: it takes lists as JSON only, and passes over variables it does not know.
    """

    class Base(BaseSettings):
        model_config = SettingsConfigDict(extra="forbid", allow_inf_nan=False)

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, dict(source)) for source in sources)

    sections: dict[str, Any] = {section: (cls, cls()) for section, cls in get_type_hints(Config).items()}
    return create_model("Settings", __base__=Base, **sections)


def _read_file(path: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the configuration file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    known: dict[str, dict[str, Any]] = {}
    for section, values in content.items():
        if section not in _SECTIONS:
            hint = _nearest(section, _SECTIONS, "[{}]") or _nearest(section, [key.name for key in KEYS.values()], "{}")
            problems.append(f"[{section}] in {path}: there is no such section{hint}")
        elif not isinstance(values, dict):
            problems.append(f"{section} in {path}: this is a section; write [{section}] and its keys below")
        else:
            for name, value in values.items():
                key = KEYS.get(f"{section}.{name}")
                if key is None:
                    unknown = f"{section}.{name}"
                    problems.append(f"{unknown} in {path}: there is no such key{_nearest(unknown, list(KEYS), '{}')}")
                elif key.row is None:
                    known.setdefault(section, {})[name] = value
                elif (rows := _rows(key, value, path, problems)) is not None:
                    known.setdefault(section, {})[name] = rows
    return known


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    slips = {variable.replace("__", "_"): variable for variable in _VARIABLES}
    for variable, text in sorted(environ.items()):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES:
            continue
        if key := _VARIABLES.get(name):
            if key.row is None:
                known.setdefault(key.section, {})[key.name] = _split(text) if _is_list(key.type) else text
            elif (rows := _rows_in_short(key, text, problems)) is not None:
                known.setdefault(key.section, {})[key.name] = rows
        elif name in slips:
            problems.append(f"{variable}: there is no such setting; did you mean {slips[name]} (two underscores)?")
        elif "__" in name:
            problems.append(f"{variable}: there is no such setting{_nearest(name, list(_VARIABLES), '{}')}")
    return known


def _rows(key: Key, value: Any, file: Path | None, problems: list[str]) -> list[dict[str, Any]] | None:
    """An array of tables without the keys that are unknown; None when it is no such array."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        problems.append(_refusal(key, value, file))
        return None
    if len(value) > MAX_RENDITIONS:
        problems.append(f"{_place(key, file)}: {len(value)} are too many; there may be {MAX_RENDITIONS}")
        return None
    columns = [column.name for column in key.columns]
    rows = []
    for number, row in enumerate(value, 1):
        for name in row.keys() - set(columns):
            hint = _nearest(name, columns, "{}") or f"; there are {', '.join(columns)}"
            problems.append(f"{_place(key, file, number)}: {name}: there is no such key{hint}")
        rows.append({name: item for name, item in row.items() if name in columns})
    return rows


def _rows_in_short(key: Key, text: str, problems: list[str]) -> list[dict[str, Any]] | None:
    """An array of tables as the environment has it: in short, or as JSON."""
    try:
        if text.lstrip().startswith("["):
            return _rows(key, json.loads(text), None, problems)
        return _rows(key, read_renditions(text), None, problems)
    except (RenditionSettingError, ValueError, RecursionError) as error:
        problems.append(f"{key.variable}: {error}")
        return None


def _drop_out_of_range(given: dict[str, dict[str, Any]], file: Path | None) -> list[str]:
    """Ports, sizes, counts and durations: none of them is ever negative."""
    problems = []
    for section, values in given.items():
        for name, value in list(values.items()):
            key = KEYS[f"{section}.{name}"]
            try:
                number = float(value) if key.type in (int, float) else 0
            except (TypeError, ValueError):
                continue  # pydantic says what is wrong with it
            if number < 0 or (name == "port" and number > 65535):
                del values[name]
                problems.append(_refusal(key, value, file))
    return problems


def _explain(detail: Any, in_environment: dict[str, dict[str, Any]], path: Path) -> str:
    location = detail["loc"]
    said = detail["msg"].removeprefix("Value error, ")
    key = KEYS.get(".".join(str(part) for part in location[:2]))
    if key is None:  # a section as a whole, from its own checks
        return f"{'.'.join(str(part) for part in location)}: {said}"
    file = None if key.name in in_environment.get(key.section, {}) else path
    if key.row is None or len(location) < 3:
        return _refusal(key, detail["input"], file)
    place = _place(key, file, location[2] + 1)
    column = next((column for column in key.columns if column.name in location[3:4]), None)
    if column is None:  # one table as a whole, from its own checks
        return f"{place}: {said}"
    return f"{place}: {column.name}: {detail['input']!r} is not accepted; it is {column.accepts}"


def _refusal(key: Key, value: Any, file: Path | None) -> str:
    return f"{_place(key, file)}: {value!r} is not accepted; {key.path} is {key.accepts}"


def _place(key: Key, file: Path | None, number: int | None = None) -> str:
    """Where a value stands; `number` counts the tables of an array from 1."""
    which = "" if number is None else f" {number}"
    return f"{key.variable}{which}" if file is None else f"{key.path}{which} in {file}"


def _nearest(name: str, known: list[str], form: str) -> str:
    matches = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {form.format(matches[0])}?" if matches else ""


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (tuple, list, frozenset)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@cache
def _in_words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(annotation))
    if _is_list(annotation):
        item = get_args(annotation)[0]
        what = f"{_in_words(item).removeprefix('one of ')}" if get_origin(item) is Literal else "texts"
        return f"a list of {what} (in the environment: with commas between them)"
    words = {bool: "true or false", int: "a whole number, not negative", float: "a number, not negative"}
    return words.get(annotation, "a text")
