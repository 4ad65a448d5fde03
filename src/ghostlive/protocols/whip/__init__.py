"""WHIP (RFC 9725): publishing with WebRTC over HTTP."""
