"""Bytes ↔ messages, both directions side by side; no state of the conversation beyond what the bytes need.

`handshake` the first three packets, `chunk` messages in chunks, `amf0` and `amf3` values, `message` what the
message types mean. Hostile bytes raise `ProtocolError` or `LimitError` (or a child) and nothing else.
"""
