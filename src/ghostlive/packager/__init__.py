"""Frames to CMAF segments and parts, and those to LL-HLS, HLS and DASH from the same bytes.

HTTP is not here: `web` asks `Packager.ready` and `Packager.resource` and writes what they return.
"""
