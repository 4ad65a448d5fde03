"""The configuration: sources, their order, and messages that say what is wrong and where."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from ghostlive.app.config import KEYS, Config, load_config
from ghostlive.core.errors import ConfigurationError
from ghostlive.transcode.config import RenditionSetting


def _file(folder: Path, text: str) -> Path:
    path = folder / "ghostlive.toml"
    path.write_text(text)
    return path


def _complaint(folder: Path, text: str = "", environ: dict[str, str] | None = None) -> str:
    _file(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        load_config(folder, environ=environ or {})
    return str(caught.value)


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(tmp_path / "none", environ={})
    assert config == Config()
    assert (config.http.port, config.rtmp.port, config.rtmps.port) == (8080, 1935, 1936)


def test_environment_goes_over_the_file_and_that_over_defaults(tmp_path: Path) -> None:
    _file(tmp_path, "[http]\nport = 8081\nconnections = 7\n[hub]\ngrace = 3\n")
    config = load_config(tmp_path, environ={"GHOSTLIVE_HTTP__PORT": "8082", "ghostlive_rtmp__port": "2935"})
    assert (config.http.port, config.http.connections, config.rtmp.port) == (8082, 7, 2935)
    assert config.hub.grace == 3.0
    assert isinstance(config.hub.grace, float)
    with pytest.raises(FrozenInstanceError):
        config.http = Config().http  # type: ignore[misc]


def test_the_process_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHOSTLIVE_RTMPS__PORT", "2936")
    assert load_config(tmp_path).rtmps.port == 2936


def test_another_file_may_be_named(tmp_path: Path) -> None:
    _file(tmp_path, "[http]\nport = 8081\n")
    other = tmp_path / "other.toml"
    other.write_text("[http]\nport = 8083\n")
    assert load_config(tmp_path, other, environ={}).http.port == 8083
    with pytest.raises(ConfigurationError, match=r"gone\.toml cannot be read"):
        load_config(tmp_path, tmp_path / "gone.toml", environ={})


def test_texts_of_the_environment_become_their_types(tmp_path: Path) -> None:
    config = load_config(
        tmp_path,
        environ={
            "GHOSTLIVE_RTMP__ENABLED": "no",
            "GHOSTLIVE_RTMP__TRUSTED_PROXIES": "10.0.0.0/8, ::1/128,",
            "GHOSTLIVE_HUB__GRACE": "0.5",
            "GHOSTLIVE_HUB__SECOND_PUBLISHER": "takeover",
        },
    )
    assert config.rtmp.enabled is False
    assert config.rtmp.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert (config.hub.grace, config.hub.second_publisher) == (0.5, "takeover")


def test_unknown_keys_name_the_nearest(tmp_path: Path) -> None:
    complaint = _complaint(tmp_path, "[http]\nprot = 1\n[hubb]\ngrace = 1\n[rtmp]\nzzzzzz = 1\n")
    assert f"http.prot in {tmp_path}/ghostlive.toml: there is no such key; did you mean http.port?" in complaint
    assert "[hubb]" in complaint
    assert "did you mean [hub]?" in complaint
    assert "rtmp.zzzzzz" in complaint
    assert complaint.startswith("3 settings cannot be used:")


def test_unknown_variables_name_the_nearest(tmp_path: Path) -> None:
    environ = {"GHOSTLIVE_HTTP__PROT": "1", "GHOSTLIVE_HTTP_PORT": "1", "GHOSTLIVE_DATA": "x", "GHOSTLIVE_OTHER": "y"}
    complaint = _complaint(tmp_path, environ=environ)
    assert "GHOSTLIVE_HTTP__PROT: there is no such setting; did you mean GHOSTLIVE_HTTP__PORT?" in complaint
    assert (
        "GHOSTLIVE_HTTP_PORT: there is no such setting; did you mean GHOSTLIVE_HTTP__PORT (two underscores)"
        in complaint
    )
    assert "DATA" not in complaint
    assert "OTHER" not in complaint


@pytest.mark.parametrize(
    ("section", "line", "accepted"),
    [
        ("http", 'port = "abc"', "http.port is a port number from 0 to 65535"),
        ("http", "port = 65536", "http.port is a port number from 0 to 65535"),
        ("http", "port = -1", "http.port is a port number from 0 to 65535"),
        ("http", "connections = 1.5", "http.connections is a whole number, not negative"),
        ("hub", "grace = -0.1", "hub.grace is a number, not negative"),
        ("hub", "grace = nan", "hub.grace is a number, not negative"),
        ("hub", "grace = inf", "hub.grace is a number, not negative"),
        ("hub", "grace = []", "hub.grace is a number, not negative"),
        ("hub", 'second_publisher = "x"', "hub.second_publisher is one of 'refuse', 'takeover'"),
        ("rtmp", 'enabled = "perhaps"', "rtmp.enabled is true or false"),
        ("rtmp", "trusted_proxies = 3", "rtmp.trusted_proxies is a list of texts"),
        ("http", "host = 3", "http.host is a text"),
    ],
)
def test_values_that_are_not_accepted(tmp_path: Path, section: str, line: str, accepted: str) -> None:
    complaint = _complaint(tmp_path, f"[{section}]\n{line}\n")
    key = f"{section}.{line.partition(' ')[0]}"
    assert complaint.startswith(f"{key} in {tmp_path}/ghostlive.toml: ")
    assert accepted in complaint


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = "[http]\nport = -3\nprot = 1\n[log]\nlevel = 'loud'\n"
    complaint = _complaint(tmp_path, text, {"GHOSTLIVE_RTMP__PORT": "x", "GHOSTLIVE_RTMPS__PRT": "1"})
    lines = complaint.splitlines()
    assert lines[0] == "5 settings cannot be used:"
    assert len(lines) == 6
    assert any(line.startswith("  GHOSTLIVE_RTMP__PORT: 'x' is not accepted; rtmp.port is") for line in lines)


def test_a_section_is_a_section(tmp_path: Path) -> None:
    assert "write [http]" in _complaint(tmp_path, "http = 3\n")
    assert "did you mean port?" in _complaint(tmp_path, "prot = 3\n")


def test_what_is_no_toml_is_said_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in _complaint(tmp_path, "[http]\nport 8080\n")


def test_every_key_has_its_sentence() -> None:
    for key in KEYS.values():
        assert key.doc.endswith("."), key.path
        assert key.doc[0].isupper() or key.doc[0] == "`", key.path
        assert key.accepts, key.path


RENDITIONS = """
[transcode]
linger = 5
[[transcode.rendition]]
height = 720
frame_rate = 60
[[transcode.rendition]]
height = 480
mode = "always"
codec = "av1"
bitrate = 700000
name = "small"
"""


def test_what_there_may_be_several_of(tmp_path: Path) -> None:
    _file(tmp_path, RENDITIONS)
    config = load_config(tmp_path, environ={}).transcode
    assert config.linger == 5
    assert config.rendition == (
        RenditionSetting(height=720, frame_rate=60),
        RenditionSetting(height=480, mode="always", codec="av1", bitrate=700_000, name="small"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "720p60, 480p:700k:always:av1,",
        '[{"height": 720, "frame_rate": 60}, {"height": 480, "mode": "always", "codec": "av1", "bitrate": 700000}]',
    ],
)
def test_several_in_the_environment_go_over_those_of_the_file(tmp_path: Path, text: str) -> None:
    _file(tmp_path, RENDITIONS.replace("720", "1080"))
    config = load_config(tmp_path, environ={"GHOSTLIVE_TRANSCODE__RENDITION": text}).transcode
    assert config.linger == 5
    assert config.rendition == (
        RenditionSetting(height=720, frame_rate=60),
        RenditionSetting(height=480, mode="always", codec="av1", bitrate=700_000),
    )


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("heigth = 720", "transcode.rendition 2 in {file}: heigth: there is no such key; did you mean height?"),
        ("zzz = 1", "zzz: there is no such key; there are height, frame_rate, bitrate, codec, mode, name"),
        ('height = "tall"', "rendition 2 in {file}: height: 'tall' is not accepted; it is a whole number"),
        ("height = 3", "rendition 2 in {file}: height: 3 is not accepted; it is a number from 16 to 8640"),
        ("bitrate = 1", "rendition 2 in {file}: height: 0 is not accepted"),
        ("height = 720\nbitrate = 3", "rendition 2 in {file}: bitrate: 3 is not accepted; it is bits per second"),
        ("height = 720\nframe_rate = 500", "rendition 2 in {file}: frame_rate: 500 is not accepted"),
        ("height = 720\nframe_rate = nan", "rendition 2 in {file}: frame_rate: nan is not accepted"),
        ("height = 720\nname = 'a\"b'", "rendition 2 in {file}: name: 'a\"b' is not accepted"),
        ("height = 720\ncodec = 'vp9'", "codec: 'vp9' is not accepted; it is one of 'h264', 'av1', 'vp8'"),
    ],
)
def test_what_is_wrong_with_one_of_several(tmp_path: Path, lines: str, complaint: str) -> None:
    text = f"[[transcode.rendition]]\nheight = 480\n[[transcode.rendition]]\n{lines}\n"
    assert complaint.format(file=tmp_path / "ghostlive.toml") in _complaint(tmp_path, text)


@pytest.mark.parametrize("value", ["3", "[3]", "'720p60'", "{height = 720}"])
def test_several_are_tables(tmp_path: Path, value: str) -> None:
    complaint = _complaint(tmp_path, f"[transcode]\nrendition = {value}\n")
    assert "transcode.rendition is tables [[transcode.rendition]]" in complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("720p60,480", "GHOSTLIVE_TRANSCODE__RENDITION: '480' is not accepted; a rendition looks like 720p60"),
        ("720p60:quick", "'quick' in '720p60:quick' is not accepted; it is demand, always, never,"),
        ("720p60,9p", "GHOSTLIVE_TRANSCODE__RENDITION 2: height: 9 is not accepted"),
        ('[{"height": 720, "codex": 1}]', "RENDITION 1: codex: there is no such key; did you mean codec?"),
        ("[", "GHOSTLIVE_TRANSCODE__RENDITION: "),
        (",".join(["720p"] * 33), "33 are too many; there may be 32"),
    ],
)
def test_what_is_wrong_with_several_in_the_environment(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in _complaint(tmp_path, environ={"GHOSTLIVE_TRANSCODE__RENDITION": text})


def test_lists_of_known_words(tmp_path: Path) -> None:
    complaint = _complaint(tmp_path, "[transcode]\nencoders = ['nvenc', 'nvidia']\n")
    assert "'nvidia' is not accepted; transcode.encoders is a list of 'nvenc', 'qsv'" in complaint
    config = load_config(tmp_path / "none", environ={"GHOSTLIVE_TRANSCODE__ENCODERS": "vaapi, software"})
    assert config.transcode.encoders == ("vaapi", "software")
