"""The many ways in which encoders split an address."""

import pytest

from ghostlive.protocols.rtmp.address import Target, parse_target


@pytest.mark.parametrize(
    ("app", "name", "stream", "key"),
    [
        ("app", "KEY", None, "KEY"),
        ("app/", "KEY", None, "KEY"),
        ("live", "KEY", None, "KEY"),
        ("app/KEY", "", None, "KEY"),
        ("app", "show?key=KEY", "show", "KEY"),
        ("app", "show/?key=KEY", "show", "KEY"),
        ("app/show", "KEY", "show", "KEY"),
        ("app/show/", "KEY", "show", "KEY"),
        ("app/show", "?key=KEY", "show", "KEY"),
        ("app/show?key=KEY", "", "show", "KEY"),
        ("app/show/?key=KEY", "", "show", "KEY"),
        ("app?key=KEY", "show", "show", "KEY"),
        ("app", "show/KEY", "show", "KEY"),
        ("app", "?key=KEY", None, "KEY"),
        ("app?key=KEY", "", None, "KEY"),
        ("app", "show?x=1&key=KEY&y=2", "show", "KEY"),
        ("app", "show?x=1?key=KEY", "show", "KEY"),
        ("app", "show?key=a%2Fb%2Bc", "show", "a/b+c"),
        ("app", "my%20show?key=KEY", "my show", "KEY"),
        ("app", "show?key=", None, "show"),
        ("app", "", None, None),
        ("", "", None, None),
        ("", "KEY", None, "KEY"),
    ],
)
def test_forms(app: str, name: str, stream: str | None, key: str | None) -> None:
    assert parse_target(app, f"rtmp://host/{app}", name) == Target(stream, key)


def test_query_of_the_url_only() -> None:
    assert parse_target("app", "rtmp://host/app?key=KEY", "show") == Target("show", "KEY")


def test_keys_are_not_shown() -> None:
    assert "KEY" not in repr(parse_target("app", "", "show?key=KEY"))
    assert "none" in repr(parse_target("app", "", ""))
