"""What Prometheus sees: TGI's names, and ours for the models' memory. Durations are in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import prometheus_client
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from inference.engine.port import EngineLoad
from inference.errors import InferenceError
from inference.generation import End, Generation
from inference.pool import ModelPool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_SKIPPED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64)


class _Counts(Collector):
    """Counters whose names are TGI's to the letter: the client library would add `_total` to them."""

    def __init__(self) -> None:
        self._requests = 0
        self._successes = 0
        self._failures: dict[str, int] = {}

    def request(self) -> None:
        self._requests += 1

    def success(self) -> None:
        self._successes += 1

    def failure(self, error_type: str) -> None:
        self._failures[error_type] = self._failures.get(error_type, 0) + 1

    def collect(self) -> Iterable[Metric]:
        requests = Metric("tgi_request_count", "Requests to generate", "unknown")
        requests.add_sample("tgi_request_count", {}, self._requests)
        successes = Metric("tgi_request_success", "Requests answered to the end", "unknown")
        successes.add_sample("tgi_request_success", {}, self._successes)
        failures = Metric("tgi_request_failure", "Requests that failed, by error type", "unknown")
        for error_type, count in self._failures.items():
            failures.add_sample("tgi_request_failure", {"err": error_type}, count)
        return (requests, successes, failures)


class _Load(Collector):
    """The engine's queue and batch at the moment of the scrape."""

    def __init__(self, load: Callable[[], EngineLoad]) -> None:
        self._load = load

    def collect(self) -> Iterable[Metric]:
        load = self._load()
        return (
            GaugeMetricFamily("tgi_queue_size", "Requests that wait for the engine", value=load.waiting),
            GaugeMetricFamily("tgi_batch_current_size", "Requests that generate now", value=load.running),
            GaugeMetricFamily(
                "tgi_batch_current_max_tokens",
                "What their prompts and answers may come to, in tokens",
                value=load.granted_tokens,
            ),
        )


class _Steps(Collector):
    """What the engines' steps took, under TGI's names for those of its batches."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        labels = ("method", "model")
        begun = Metric("tgi_batch_inference_count", "Steps, by whether a prompt is in them", "unknown")
        done = Metric("tgi_batch_inference_success", "Steps that didn't fail", "unknown")
        whole, layout, forward, choice = (
            HistogramMetricFamily(f"tgi_batch_{name}_duration", meaning, labels=labels)
            for name, meaning in (
                ("inference", "A whole step"),
                ("filter", "Of a step: who takes part, and where their tokens and caches lie"),
                ("forward", "Of a step: the model's forward"),
                ("decode", "Of a step: choosing tokens"),
            )
        )
        sizes = HistogramMetricFamily("tgi_batch_next_size", "Sequences of a step", labels=("model",))
        for entry in self._pool.entries():
            if not entry.model:
                continue
            steps = entry.model.engine.steps
            sizes.add_metric((entry.name,), steps.sizes.buckets(), steps.sizes.total)
            for method, counts in steps.methods.items():
                begun.add_sample(begun.name, {"method": method, "model": entry.name}, counts.begun)
                done.add_sample(done.name, {"method": method, "model": entry.name}, counts.done)
                for family, taken in (
                    (whole, counts.whole),
                    (layout, counts.layout),
                    (forward, counts.forward),
                    (choice, counts.choice),
                ):
                    family.add_metric((method, entry.name), taken.buckets(), taken.total)
        return (begun, done, whole, layout, forward, choice, sizes)


class _Memory(Collector):
    """What the models take, at the moment of the scrape."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        taken = GaugeMetricFamily(
            "hadal_model_memory_bytes", "Memory of a loaded model, by what it is for", labels=("model", "for")
        )
        used = GaugeMetricFamily(
            "hadal_model_cache_used_bytes", "Bytes of the cache that requests hold", labels=("model",)
        )
        in_use = GaugeMetricFamily(
            "hadal_model_in_use", "Requests that refer to a loaded model", labels=("model",)
        )
        for entry in self._pool.entries():
            if entry.model:
                description = entry.model.engine.description
                taken.add_metric((entry.name, "weights"), description.weight_bytes)
                taken.add_metric((entry.name, "adapters"), description.adapter_bytes)
                taken.add_metric((entry.name, "cache"), description.cache_bytes)
                used.add_metric((entry.name,), entry.model.engine.load().cache_used_bytes)
                in_use.add_metric((entry.name,), entry.in_use)
        reserved = GaugeMetricFamily(
            "hadal_models_reserved_bytes", "What all models take or may take", value=self._pool.reserved_bytes
        )
        budget = GaugeMetricFamily("hadal_models_budget_bytes", "What all models together may take")
        if self._pool.budget_bytes is not None:
            budget.add_metric((), self._pool.budget_bytes)
        return (taken, used, in_use, reserved, budget)


class Metrics:
    """The service's own registry; `load` and `pool` are asked at each scrape."""

    def __init__(self, load: Callable[[], EngineLoad], pool: ModelPool) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = prometheus_client.CollectorRegistry()
        self._counts = _Counts()
        self._registry.register(self._counts)
        self._registry.register(_Load(load))
        self._registry.register(_Steps(pool))
        self._registry.register(_Memory(pool))
        self._total = self._seconds("tgi_request_duration", "Arrival to last token")
        self._validation = self._seconds("tgi_request_validation_duration", "Reading and checking")
        self._queue = self._seconds("tgi_request_queue_duration", "Waiting for the engine")
        self._inference = self._seconds("tgi_request_inference_duration", "Leaving the queue to last token")
        self._per_token = self._seconds("tgi_request_mean_time_per_token_duration", "Inference time a token")
        self._input = self._tokens("tgi_request_input_length", "Tokens of the prompt")
        self._generated = self._tokens("tgi_request_generated_tokens", "Tokens generated")
        self._skipped = prometheus_client.Histogram(
            "tgi_request_skipped_tokens",
            "Tokens of a step of the engine beside its first: guessed, and right",
            registry=self._registry,
            buckets=_SKIPPED,
        )
        self._granted = self._tokens("tgi_request_max_new_tokens", "Tokens that the request might generate")

    def _seconds(self, name: str, meaning: str) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(name, meaning, registry=self._registry, buckets=_SECONDS)

    def _tokens(self, name: str, meaning: str) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(name, meaning, registry=self._registry, buckets=_TOKENS)

    def request(self) -> None:
        """A request to generate has arrived."""
        self._counts.request()

    def failure(self, error: InferenceError) -> None:
        """A request was answered with an error."""
        self._counts.failure(error.error_type)

    def success(self) -> None:
        """A request was answered to the end."""
        self._counts.success()

    def generated(self, generation: Generation, end: End) -> None:
        """A generation has ended with its last token; a request may have several."""
        timings = generation.timings
        self._total.observe(timings.total_s)
        self._validation.observe(timings.validation_s)
        self._queue.observe(timings.queue_s)
        self._inference.observe(timings.inference_s)
        self._per_token.observe(timings.inference_s / end.generated_tokens)
        self._input.observe(generation.prompt_tokens)
        self._generated.observe(end.generated_tokens)
        for tokens in generation.skipped:
            self._skipped.observe(tokens)
        self._granted.observe(generation.request.max_new_tokens)

    def render(self) -> bytes:
        """Prometheus text."""
        return prometheus_client.generate_latest(self._registry)
