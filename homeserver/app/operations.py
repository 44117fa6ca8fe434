"""The handlers for those who watch over the server."""

from __future__ import annotations

from config import Config
from homeserver.admin_api.operations import HealthEndpoints, MetricsEndpoints
from homeserver.runtime.metrics import Metrics


def health_handlers() -> list[object]:
    """Whether it is alive."""
    return [HealthEndpoints()]


def metrics_handlers(config: Config, metrics: Metrics) -> list[object]:
    """How it is, if the operator wants it shown."""
    return [MetricsEndpoints(metrics)] if config.server.enable_metrics else []
