"""What ``/metrics`` tells: counts and times for Prometheus, without names."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one service. ``waiting``: returns how many images wait or are worked on."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("seglab_requests", "Requests by status", ["status"], registry=self._registry)
        self.images = Counter("seglab_images", "Images by outcome", ["outcome"], registry=self._registry)
        self.seconds = Histogram(
            "seglab_request_seconds", "Seconds from the request to its answer", buckets=SECONDS, registry=self._registry
        )
        self.batches = Histogram(
            "seglab_batch_images", "Images that shared a batch", buckets=BATCHES, registry=self._registry
        )
        Gauge("seglab_waiting_images", "Images that wait or are worked on", registry=self._registry).set_function(
            waiting
        )

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)
