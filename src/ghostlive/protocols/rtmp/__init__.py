"""RTMP and RTMPS in: encoders publish, nobody plays.

`parser` bytes ↔ messages, `session` the state of one encoder, `ingest` its media as frames, `server` the sockets.
"""
