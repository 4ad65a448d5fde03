"""The reference page and the sample file say what the program does."""

import tomllib
from pathlib import Path

from ghostlive.app.config import KEYS, Config, load_config
from ghostlive.app.reference import page, sample
from ghostlive.db.config import DatabaseConfig

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
    text = sample(Config(database=DatabaseConfig(url="postgresql://ann:secret@host/name")))
    assert 'url = "postgresql://ann:…@host/name"' in text
    assert "secret" not in text
