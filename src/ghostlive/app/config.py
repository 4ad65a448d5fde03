"""The configuration: every room's section in one `Config`.

Environment (`GHOSTLIVE_SECTION__KEY`) goes over `ghostlive.toml`, which goes over the defaults. Whatever is wrong is
said at once, each with where it stands, and nothing unknown is passed over: a misspelt key would leave its default in
force without a word. A room is added by one line in `Config`.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ValidationError, create_model
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ghostlive.app.logconfig import LogConfig
from ghostlive.core.errors import ConfigurationError
from ghostlive.core.settings import setting
from ghostlive.db.config import DatabaseConfig
from ghostlive.hub.config import HubConfig
from ghostlive.packager.config import PackagerConfig
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
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
    hub: HubConfig = field(default_factory=HubConfig)
    packager: PackagerConfig = field(default_factory=PackagerConfig)
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
        return "a port number from 0 to 65535" if self.name == "port" else _in_words(self.type)


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
    found = [
        Key(section, item.name, hints[item.name], _default(item), item.metadata["doc"])
        for section, cls in get_type_hints(Config).items()
        for hints in [get_type_hints(cls)]
        for item in fields(cls)
    ]
    return {key.path: key for key in found}


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
                if (key := f"{section}.{name}") in KEYS:
                    known.setdefault(section, {})[name] = value
                else:
                    problems.append(f"{key} in {path}: there is no such key{_nearest(key, list(KEYS), '{}')}")
    return known


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    slips = {variable.replace("__", "_"): variable for variable in _VARIABLES}
    for variable, text in sorted(environ.items()):
        name = variable.upper()
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES:
            continue
        if key := _VARIABLES.get(name):
            known.setdefault(key.section, {})[key.name] = _split(text) if _is_list(key.type) else text
        elif name in slips:
            problems.append(f"{variable}: there is no such setting; did you mean {slips[name]} (two underscores)?")
        elif "__" in name:
            problems.append(f"{variable}: there is no such setting{_nearest(name, list(_VARIABLES), '{}')}")
    return known


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
    location = [str(part) for part in detail["loc"]]
    key = KEYS.get(".".join(location[:2]))
    if key is None:  # a section as a whole, from its own checks
        return f"{'.'.join(location)}: {detail['msg'].removeprefix('Value error, ')}"
    return _refusal(key, detail["input"], None if key.name in in_environment.get(key.section, {}) else path)


def _refusal(key: Key, value: Any, file: Path | None) -> str:
    place = key.variable if file is None else f"{key.path} in {file}"
    return f"{place}: {value!r} is not accepted; {key.path} is {key.accepts}"


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
        return "a list of texts (in the environment: with commas between them)"
    words = {bool: "true or false", int: "a whole number, not negative", float: "a number, not negative"}
    return words.get(annotation, "a text")
