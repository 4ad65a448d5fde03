"""The JSON API under /api/v1. Errors are problem+json (RFC 9457)."""
