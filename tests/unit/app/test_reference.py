"""The reference page and the sample file say what the program does."""

import tomllib
from pathlib import Path

from ghostlive.app.config import KEYS, Config, load_config
from ghostlive.app.reference import page, sample
from ghostlive.db.config import DatabaseConfig
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.transcode.config import RenditionSetting, TranscodeConfig

PAGE = Path(__file__).parents[3] / "docs/reference/configuration.md"


def test_the_page_is_fresh() -> None:
    command = "python -m ghostlive.app.reference > docs/reference/configuration.md"
    assert PAGE.read_text("utf-8") == page(), f"run: {command}"


def test_the_sample_is_the_default_configuration(tmp_path: Path) -> None:
    (tmp_path / "ghostlive.toml").write_text(sample())
    assert load_config(tmp_path, environ={}) == Config()
    parsed = tomllib.loads(sample())
    assert {f"{section}.{name}" for section, values in parsed.items() for name in values} == set(KEYS)


def test_the_sample_shows_what_is_in_force_but_no_password() -> None:
    text = sample(
        Config(
            database=DatabaseConfig(url="postgresql://ann:hidden@host/name"), webrtc=WebRtcConfig(turn_secret="hidden")
        )
    )
    assert 'url = "postgresql://ann:…@host/name"' in text
    assert 'turn_secret = "…"' in text
    assert "hidden" not in text


def test_the_sample_shows_renditions_that_are_configured(tmp_path: Path) -> None:
    config = Config(transcode=TranscodeConfig(rendition=(RenditionSetting(720, 60), RenditionSetting(480, name="ü"))))
    (tmp_path / "ghostlive.toml").write_text(sample(config))
    assert load_config(tmp_path, environ={}) == config


def test_the_example_of_a_rendition_can_be_used(tmp_path: Path) -> None:
    lines = sample().splitlines()
    example = lines[lines.index("# [[transcode.rendition]]") :]
    text = "\n".join(line.removeprefix("# ") for line in example if line.startswith("# "))
    text = text[: text.index("\nThe chat")].replace("height = 0", "height = 720")
    (tmp_path / "ghostlive.toml").write_text(text)
    assert load_config(tmp_path, environ={}).transcode.rendition == (RenditionSetting(720),)
