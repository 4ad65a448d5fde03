"""RTP (RFC 3550): packets and what they carry."""
