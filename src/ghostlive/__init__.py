"""Ghost Live: self-hosted live streaming with chat."""

__version__ = "0.1.0"
