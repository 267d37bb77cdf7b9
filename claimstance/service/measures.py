"""What the service counts, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from claimstance.predictor import Prediction

CONTENT_TYPE = CONTENT_TYPE_LATEST
ABSTAINS = "abstains"
"""Stands for the stance of a pair that the model abstains from."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measures:
    """The counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = {"registry": self._registry, "namespace": "claimstance"}
        self._requests = Counter("requests", "Requests answered", ["route", "status"], **own)
        self._seconds = Histogram("request_seconds", "Time to answer", ["route"], buckets=_SECONDS, **own)
        self._pairs = Counter("pairs", "Pairs labelled", **own)
        self._stances = Counter("stances", "Stances given", ["stance"], **own)
        self.in_flight = Gauge("requests_in_flight", "Requests being answered", **own)
        self._bundle = Gauge("bundle_info", "The bundle that answers", ["name", "digest"], **own)
        self._reloads = Counter("reloads", "New bundles seen", ["outcome"], **own)
        for outcome in ("ok", "failed"):
            self._reloads.labels(outcome)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def labelled(self, predictions: Sequence[Prediction]) -> None:
        """Count the pairs that a request had labelled, and the stances given."""
        self._pairs.inc(len(predictions))
        for prediction in predictions:
            self._stances.labels(prediction.stance or ABSTAINS).inc()

    def serves(self, name: str, digest: str) -> None:
        """Name the bundle that answers from now on."""
        self._bundle.clear()
        self._bundle.labels(name, digest).set(1)

    def reloaded(self, outcome: str) -> None:
        """Count a new bundle: ``ok`` or ``failed``."""
        self._reloads.labels(outcome).inc()

    def text(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return generate_latest(self._registry)
