"""Secrets: their form, their hashes, and that they do not leak."""

import re

import pytest

from ghostlive.access import keys, passwords
from ghostlive.core.errors import RefusedError
from ghostlive.core.stream import check_stream_name


def test_keys_are_long_random_and_safe_everywhere() -> None:
    made = {keys.make_secret() for _ in range(1000)}
    assert len(made) == 1000
    for secret in made:
        assert re.fullmatch(r"gl_[a-z2-7]{32}", secret)  # 32 × 5 bits = 160 bits
        assert keys.looks_like_key(secret)
    check_stream_name(secret)  # one path segment, as an encoder sends it


def test_what_is_stored_of_a_key_does_not_tell_it() -> None:
    secret = keys.make_secret()
    stored = keys.stored(secret, "phone")
    assert stored.key_hash == keys.hash_secret(secret)
    assert re.fullmatch(r"[0-9a-f]{64}", stored.key_hash)
    assert stored.hint == secret[-4:]
    assert secret not in repr(stored)


@pytest.mark.parametrize("text", ["", "demo", "gl_", "gl_short", "xx_" + "a" * 32])
def test_other_names_do_not_look_like_keys(text: str) -> None:
    assert not keys.looks_like_key(text)


async def test_passwords() -> None:
    stored = await passwords.hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify_password("correct horse battery", stored)
    assert not await passwords.verify_password("correct horse batterz", stored)
    assert not await passwords.verify_password("correct horse battery", None)
    assert not await passwords.verify_password("x", "not a hash")
    assert await passwords.hash_password("correct horse battery") != stored


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
async def test_unfit_passwords_are_refused(password: str) -> None:
    with pytest.raises(RefusedError, match="characters"):
        await passwords.hash_password(password)
