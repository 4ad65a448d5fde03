"""Keys of SRTP by their vectors, and packets in both profiles."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.formats.rtp.packet import is_rtcp
from ghostlive.protocols.webrtc.errors import SrtpError
from ghostlive.protocols.webrtc.srtp import (
    Profile,
    Protector,
    SrtpKeys,
    Unprotector,
    derive,
    is_rtp,
    keys_from_dtls,
)

PROFILES = pytest.mark.parametrize("profile", list(Profile))


def make_keys(profile: Profile) -> SrtpKeys:
    return SrtpKeys(profile, bytes(range(profile.key_length)), bytes(range(100, 100 + profile.salt_length)))


def rtp(sequence: int = 1, ssrc: int = 7, payload: bytes = b"payload") -> bytes:
    return b"\x80\x60" + sequence.to_bytes(2) + bytes(4) + ssrc.to_bytes(4) + payload


def rtcp(ssrc: int = 7) -> bytes:
    return b"\x80\xc9\0\1" + ssrc.to_bytes(4)


def test_derivation_of_rfc_3711() -> None:
    keys = SrtpKeys(
        Profile.AES128_CM_SHA1_80,
        bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6"),
    )
    session = derive(keys)
    assert session.cipher_key.hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert session.salt.hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert session.auth_key.hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"
    assert derive(keys, rtcp=True) != session
    assert "C6" not in repr(session).upper().replace("SESSIONKEYS", "")


def test_derived_keys_decrypt_what_libsrtp_has_encrypted() -> None:
    keys = make_keys(Profile.AEAD_AES_128_GCM)
    session = derive(keys)
    packet = rtp(0x1234, 0xDEADBEEF)
    protected = Protector(keys).rtp(packet)
    # RFC 7714 §8.1: two zero bytes, SSRC, rollover counter, sequence number
    nonce = int.from_bytes(b"\0\0\xde\xad\xbe\xef\0\0\0\0\x12\x34") ^ int.from_bytes(session.salt)
    assert AESGCM(session.cipher_key).decrypt(nonce.to_bytes(12), protected[12:], protected[:12]) == packet[12:]
    session = derive(keys, rtcp=True)
    protected = Protector(keys).rtcp(rtcp(0xDEADBEEF) + b"more")
    index = protected[-4:]
    nonce = int.from_bytes(b"\0\0\xde\xad\xbe\xef\0\0\0\0" + index[2:]) ^ int.from_bytes(session.salt)
    clear = AESGCM(session.cipher_key).decrypt(nonce.to_bytes(12), protected[8:-4], protected[:8] + index)
    assert clear == b"more"


@PROFILES
def test_keys_from_dtls(profile: Profile) -> None:
    key, salt = profile.key_length, profile.salt_length
    exported = b"C" * key + b"S" * key + b"c" * salt + b"s" * salt
    local, remote = keys_from_dtls(exported, profile, is_client=True)
    assert (local.key, local.salt, remote.key, remote.salt) == (b"C" * key, b"c" * salt, b"S" * key, b"s" * salt)
    assert keys_from_dtls(exported, profile, is_client=False) == (remote, local)
    assert "CCC" not in repr(local)


@PROFILES
def test_packets_arrive(profile: Profile) -> None:
    keys = make_keys(profile)
    sender, receiver = Protector(keys), Unprotector(keys)
    for sequence in (65534, 65535, 0, 1):
        protected = sender.rtp(rtp(sequence))
        assert len(protected) == len(rtp()) + profile.tag_length
        assert receiver.rtp(protected) == rtp(sequence)
        assert receiver.rtcp(sender.rtcp(rtcp())) == rtcp()


@PROFILES
def test_replayed_packets_are_refused(profile: Profile) -> None:
    keys = make_keys(profile)
    sender, receiver = Protector(keys), Unprotector(keys)
    packets = [sender.rtp(rtp(sequence)) for sequence in range(1, 40)]
    for packet in reversed(packets):
        receiver.rtp(packet)
    for packet in packets:
        with pytest.raises(SrtpError, match="replay"):
            receiver.rtp(packet)
    report = sender.rtcp(rtcp())
    receiver.rtcp(report)
    with pytest.raises(SrtpError, match="replay"):
        receiver.rtcp(report)


@PROFILES
def test_changed_packets_are_refused(profile: Profile) -> None:
    keys = make_keys(profile)
    sender, receiver = Protector(keys), Unprotector(keys)
    packet, report = sender.rtp(rtp()), sender.rtcp(rtcp())
    for position in range(2, len(packet)):
        with pytest.raises(SrtpError):
            receiver.rtp(packet[:position] + bytes([packet[position] ^ 1]) + packet[position + 1 :])
    for position in range(4, len(report)):
        with pytest.raises(SrtpError):
            receiver.rtcp(report[:position] + bytes([report[position] ^ 1]) + report[position + 1 :])
    assert receiver.rtp(packet) == rtp()
    assert receiver.rtcp(report) == rtcp()


def test_only_so_many_senders() -> None:
    keys = make_keys(Profile.AEAD_AES_128_GCM)
    sender, receiver = Protector(keys), Unprotector(keys, max_ssrcs=3)
    forged = rtp(ssrc=99) + bytes(16)
    for _ in range(5):
        with pytest.raises(SrtpError):
            receiver.rtp(forged)  # costs no place
    for ssrc in (1, 2):
        receiver.rtp(sender.rtp(rtp(ssrc=ssrc)))
    receiver.rtcp(sender.rtcp(rtcp(3)))
    with pytest.raises(SrtpError, match="more than 3"):
        receiver.rtp(sender.rtp(rtp(ssrc=4)))
    with pytest.raises(SrtpError, match="more than 3"):
        receiver.rtcp(sender.rtcp(rtcp(5)))
    receiver.rtp(sender.rtp(rtp(2, ssrc=1)))


def test_what_cannot_be_encrypted() -> None:
    sender = Protector(make_keys(Profile.AEAD_AES_128_GCM))
    with pytest.raises(SrtpError):
        sender.rtp(b"\x80")
    with pytest.raises(SrtpError):
        sender.rtcp(b"\x80")
    with pytest.raises(SrtpError, match="too long"):
        sender.rtp(rtp(payload=bytes(2000)))
    with pytest.raises(SrtpError, match="too long"):
        sender.rtcp(rtcp() + bytes(2000))


def test_kinds_of_datagrams() -> None:
    assert is_rtp(rtp())
    assert not is_rtcp(rtp())
    assert is_rtp(rtcp())
    assert is_rtcp(rtcp())
    assert not is_rtcp(b"\x80\xe0" + bytes(10))  # a marked packet of payload type 96
    assert not is_rtp(b"\x80\x60")
    assert not is_rtp(b"\x16" + bytes(20))


@given(st.sampled_from(list(Profile)), st.binary(max_size=1600), st.booleans())
def test_any_bytes(profile: Profile, data: bytes, control: bool) -> None:
    receiver = Unprotector(make_keys(profile))
    data = (b"\x80\xc9" if control else b"\x80\x60") + data
    with pytest.raises(SrtpError):
        (receiver.rtcp if control else receiver.rtp)(data)


def test_secrets_are_not_shown() -> None:
    keys = SrtpKeys(Profile.AEAD_AES_128_GCM, os.urandom(16), os.urandom(12))
    assert repr(keys) == "SrtpKeys(profile=<Profile.AEAD_AES_128_GCM: 7>)"
