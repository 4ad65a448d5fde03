"""Viewers: from a live stream's frames to the packets that each viewer gets."""
