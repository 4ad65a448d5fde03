"""Sends each packet to all viewers of a lane: rewritten, encrypted, in few system calls."""
