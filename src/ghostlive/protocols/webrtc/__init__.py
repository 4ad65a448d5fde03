"""WebRTC: ICE, DTLS, SRTP, sessions of viewers and publishers, and the fan-out to viewers."""
