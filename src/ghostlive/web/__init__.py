"""The ASGI application: media, API and pages."""
