"""The nouns of live streaming and the helpers every room may use. No IO, no codecs, no protocols."""
