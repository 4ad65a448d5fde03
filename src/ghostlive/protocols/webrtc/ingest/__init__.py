"""Publishers: from RTP packets to frames of a publication."""
