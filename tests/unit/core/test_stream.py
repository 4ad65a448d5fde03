"""Stream names."""

import pytest

from ghostlive.core.errors import InvalidStreamNameError
from ghostlive.core.stream import RESERVED_NAMES, check_stream_name


@pytest.mark.parametrize("name", ["demo", "a", "My-Stream_2", "0", "x" * 64])
def test_good_names_pass_unchanged(name: str) -> None:
    assert check_stream_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "../x", ".", "a b", "ä", "-x", "a\n", "a\x00", "٣"])
def test_names_that_are_no_path_segment_are_refused(name: str) -> None:
    with pytest.raises(InvalidStreamNameError, match="letters, digits"):
        check_stream_name(name)


@pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "API"])
def test_names_of_pages_are_refused(name: str) -> None:
    with pytest.raises(InvalidStreamNameError, match="reserved"):
        check_stream_name(name)
