"""The server's secret."""

import asyncio
import stat
from pathlib import Path

import pytest

from ghostlive.access.secret import keyed_hash, load_secret
from ghostlive.core.errors import ConfigurationError


async def test_it_is_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    data = tmp_path / "new"
    secret = await load_secret(data)
    assert len(secret) == 32
    assert await load_secret(data) == secret
    [file] = list(data.iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await load_secret(tmp_path / "other") != secret


async def test_several_starts_at_once_agree(tmp_path: Path) -> None:
    secrets = await asyncio.gather(*(load_secret(tmp_path) for _ in range(20)))
    assert len(set(secrets)) == 1
    assert len(list(tmp_path.iterdir())) == 1


async def test_others_cannot_read_it_any_more(tmp_path: Path) -> None:
    secret = await load_secret(tmp_path)
    (tmp_path / "secret").chmod(0o644)
    assert await load_secret(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


async def test_a_damaged_one_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="is damaged: put back a backup"):
        await load_secret(tmp_path)


async def test_a_directory_that_cannot_hold_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be read or made"):
        await load_secret(tmp_path / "file")


def test_hashes_are_for_one_purpose() -> None:
    secret = bytes(32)
    assert keyed_hash(secret, "chat address", "192.0.2.1") == keyed_hash(secret, "chat address", "192.0.2.1")
    assert (
        len(
            {
                keyed_hash(secret, "a", "b"),
                keyed_hash(secret, "a", "c"),
                keyed_hash(secret, "c", "b"),
                keyed_hash(bytes(31) + b"1", "a", "b"),
                keyed_hash(secret, "", "a\0b"),
            }
        )
        == 5
    )
    assert len(keyed_hash(secret, "a", "\ud800")) == 64
