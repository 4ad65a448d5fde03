"""Bit streams: what codecs say about themselves, read and written without decoding a single sample.

Here live parsers of configurations, headers and access units, as pure functions and frozen dataclasses: bytes in,
facts out. No container (that is `formats`), no IO, no clock. One file for each codec; `describe` is the table over
them, so that nobody else needs a switch on the codec.

The invariant of the whole room: bytes are hostile. Whatever they are, a function here answers or raises
`ghostlive.core.errors.MediaError`, after work that is bounded by the length of its input.
"""
