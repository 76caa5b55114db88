"""The HTTP API."""

from api.health import health_routes

__all__ = ["health_routes"]
