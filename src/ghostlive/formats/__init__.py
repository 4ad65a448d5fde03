"""Containers and payload formats. Bytes in, bytes out: no socket, no clock, no codec beyond what a header needs."""
