"""The only place that knows every part: configuration, composition, logging, health."""
