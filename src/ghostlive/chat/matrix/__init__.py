"""Chat on Matrix: our application service, its rooms and ghosts, and what comes back from them."""
