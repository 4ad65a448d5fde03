"""A program that tries encoders with real pictures, in a process of its own: drivers crash and hang."""
