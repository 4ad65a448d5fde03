"""Addresses of viewers behind proxies; whatever a header says, there is an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.errors import ConfigurationError
from ghostlive.web.clientaddress import Client, ClientAddress, plain_address

PROXY = "10.0.0.1"
BEHIND = ClientAddress(("10.0.0.0/8", "::1", "2001:db8:ffff::/48"))


def named(*values: str, peer: str = PROXY, addresses: ClientAddress = BEHIND) -> str:
    return addresses.resolve(peer, [(b"x-forwarded-for", value.encode("latin-1")) for value in values]).address


def test_nobody_is_believed_unless_configured() -> None:
    assert named("192.0.2.7", addresses=ClientAddress()) == PROXY
    assert not ClientAddress().in_use
    assert not ClientAddress().trusts("127.0.0.1")
    assert ClientAddress().resolve("192.0.2.1", [(b"x-forwarded-proto", b"https")]).scheme == "http"


def test_a_stranger_cannot_say_who_it_is() -> None:
    assert named("192.0.2.7", peer="198.51.100.4") == "198.51.100.4"


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (("192.0.2.7",), "192.0.2.7"),
        (("  192.0.2.7\t",), "192.0.2.7"),
        (("6.6.6.6, 192.0.2.7",), "192.0.2.7"),  # the first is the viewer's own claim
        (("6.6.6.6", "192.0.2.7"), "192.0.2.7"),  # in two fields
        (("192.0.2.7, 10.3.3.3",), "192.0.2.7"),  # two proxies
        (("192.0.2.7,10.3.3.3,::1",), "192.0.2.7"),
        (("10.3.3.3",), "10.3.3.3"),  # a viewer inside
        (("192.0.2.7:50123",), "192.0.2.7"),
        (("2001:db8::7",), "2001:db8::7"),
        (("2001:DB8:0:0::7",), "2001:db8::7"),
        (("[2001:db8::7]:443",), "2001:db8::7"),
        (("[2001:db8::7]",), "2001:db8::7"),
        (('"[2001:db8::7]"',), "2001:db8::7"),
        (("fe80::1%eth0",), "fe80::1"),
        (("::ffff:192.0.2.7",), "192.0.2.7"),
        (("6.6.6.6, unknown",), PROXY),
        (("unknown, 192.0.2.7",), "192.0.2.7"),
        (("192.0.2.7,",), PROXY),
        (("192.0.2.7, , 10.3.3.3",), "10.3.3.3"),
        (("",), PROXY),
        ((), PROXY),
        (("1.2.3.4.5",), PROXY),
        (("999.1.1.1",), PROXY),
        (("[::1",), "::1"),
        (("\xff\x00\r",), PROXY),
        (("127.1",), PROXY),
        (("٣.0.0.1".encode().decode("latin-1"),), PROXY),
        ((",".join(["10.1.1.1"] * 5000),), "10.1.1.1"),
        (("192.0.2.7," + ",".join(["10.1.1.1"] * 50),), "10.1.1.1"),  # nobody has so many proxies
    ],
)
def test_the_rightmost_that_no_proxy_of_ours_has(values: tuple[str, ...], address: str) -> None:
    assert named(*values) == address


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        (b"https", "https"),
        (b" HTTPS ", "https"),
        (b"wss", "https"),
        (b"http", "http"),
        (b"https, http", "https"),
        (b"", "http"),
        (b"gopher", "http"),
        (b"\xff", "http"),
    ],
)
def test_the_scheme_that_the_proxy_tells(value: bytes, scheme: str) -> None:
    assert BEHIND.resolve(PROXY, [(b"x-forwarded-proto", value)]) == Client(PROXY, scheme)
    assert BEHIND.resolve("192.0.2.1", [(b"x-forwarded-proto", value)], "http").scheme == "http"


def test_an_address_has_one_form() -> None:
    assert plain_address("::ffff:192.0.2.7") == "192.0.2.7"
    assert plain_address("2001:DB8::0:7%2") == "2001:db8::7"
    assert plain_address("192.0.2.7") == "192.0.2.7"
    assert plain_address("unix:/run/x") == "unix:/run/x"
    assert plain_address("") == ""
    assert BEHIND.trusts("::ffff:10.0.0.9")
    assert not BEHIND.trusts("")


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.0/33", "10.0.0.1:80", "*"])
def test_a_proxy_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        ClientAddress((text,))


def test_host_bits_and_spaces_do_not_matter() -> None:
    assert ClientAddress((" 10.1.2.3/8 ",)).trusts("10.200.0.1")


@given(
    st.text(max_size=60),
    st.lists(
        st.tuples(
            st.sampled_from([b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"]),
            st.one_of(
                st.binary(max_size=80),
                st.text('0123456789abcdef.:[]%, \t"', max_size=80).map(str.encode),
            ),
        ),
        max_size=5,
    ),
)
def test_nothing_raises(peer: str, fields: list[tuple[bytes, bytes]]) -> None:
    for address in (peer, PROXY, "::1"):
        client = BEHIND.resolve(address, fields)
        assert client.scheme in ("http", "https")
        assert isinstance(client.address, str)


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ((), "127.0.0.1", True, True),
        ((), "10.0.0.7", True, True),
        ((), "fd00::1", True, True),
        ((), "127.0.0.1", False, False),
        (("127.0.0.1",), "127.0.0.1", True, False),
        ((), "8.8.8.8", True, False),  # a stranger who writes the field is no proxy of ours
        ((), "/run/socket", True, False),
    ],
)
def test_a_proxy_that_nobody_trusts_is_noticed(
    trusted: tuple[str, ...], peer: str, forwarded: bool, expected: bool
) -> None:
    fields = [(b"host", b"x"), *([(b"x-forwarded-for", b"1.2.3.4")] if forwarded else [])]
    assert ClientAddress(trusted).overlooked(peer, fields) is expected
