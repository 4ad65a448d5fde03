"""Publish and subscribe of encoded frames. Blind to codecs: it forwards what it does not understand."""
