"""Every way in which a request can fail, with TGI's status, type and wording.

    InferenceError
    |-- MalformedBodyError          400  malformed_json
    |-- UnknownRouteError           404  not_found
    |-- UnknownModelError           404  model_not_found
    |-- MethodNotAllowedError       405  method_not_allowed
    |-- ModelInUseError             409  model_in_use
    |-- PayloadTooLargeError        413  payload_too_large
    |-- ValidationError             422  validation
    |   |-- SuffixNotSupportedError 422  suffix not supported
    |   `-- BatchSizeExceededError  422  batch size exceeded
    |-- ModelTooLargeError          422  model_too_large
    |-- TemplateError               422  template_error
    |-- ToolError                   422  tool_error
    |-- GenerationFailedError       424  generation
    |-- OverloadedError             429  overloaded
    |-- IncompleteGenerationError   500  incomplete_generation
    |-- InternalError               500  internal
    |-- LoadFailedError             500  load_failed
    |-- InsufficientMemoryError     503  insufficient_memory
    `-- UnhealthyError              503  healthcheck

The types are those of TGI's router; what it leaves to its web framework (400, 404, 405, 413), and what only
this service does (several models), has the same form here.
"""

from __future__ import annotations

from typing import ClassVar

import orjson


class InferenceError(Exception):
    """A failure that a caller is told about: its text is written for them."""

    status: ClassVar[int] = 500
    error_type: ClassVar[str] = "internal"
    prefix: ClassVar[str] = ""

    @property
    def message(self) -> str:
        """The sentence that the caller reads."""
        return f"{self.prefix}{self}"

    def body(self) -> bytes:
        """TGI's `ErrorResponse` as JSON."""
        return orjson.dumps({"error": self.message, "error_type": self.error_type})

    def openai_event(self) -> bytes:
        """The form in which an error ends a stream of the OpenAI routes, as JSON."""
        error = {"message": self.message, "type": self.error_type, "http_status_code": self.status}
        return orjson.dumps({"error": error})


class MalformedBodyError(InferenceError):
    """The body is not JSON."""

    status = 400
    error_type = "malformed_json"


class UnknownRouteError(InferenceError):
    """No route has this path."""

    status = 404
    error_type = "not_found"


class UnknownModelError(InferenceError):
    """No model has this name."""

    status = 404
    error_type = "model_not_found"


class MethodNotAllowedError(InferenceError):
    """The path exists for other methods."""

    status = 405
    error_type = "method_not_allowed"


class ModelInUseError(InferenceError):
    """The model can't leave now."""

    status = 409
    error_type = "model_in_use"


class PayloadTooLargeError(InferenceError):
    """The body is larger than `PAYLOAD_LIMIT`."""

    status = 413
    error_type = "payload_too_large"


class ValidationError(InferenceError):
    """The request can't be served as it is; the message names the field and what would be right."""

    status = 422
    error_type = "validation"
    prefix = "Input validation error: "


class SuffixNotSupportedError(ValidationError):
    """`suffix` on `/v1/completions`, of a model that can't fill in."""

    error_type = "suffix not supported"
    prefix = ""


class BatchSizeExceededError(ValidationError):
    """More answers of one request (prompts times `n`) than `MAX_CLIENT_BATCH_SIZE`."""

    error_type = "batch size exceeded"
    prefix = ""


class ModelTooLargeError(InferenceError):
    """The model doesn't fit into the budget, whatever else is unloaded."""

    status = 422
    error_type = "model_too_large"


class TemplateError(InferenceError):
    """The chat template is absent or refuses these messages."""

    status = 422
    error_type = "template_error"
    prefix = "Template error: "


class ToolError(InferenceError):
    """Tools were asked for and can't be served."""

    status = 422
    error_type = "tool_error"
    prefix = "Tool error: "


class GenerationFailedError(InferenceError):
    """The model could not compute this request."""

    status = 424
    error_type = "generation"
    prefix = "Request failed during generation: "


class OverloadedError(InferenceError):
    """`MAX_CONCURRENT_REQUESTS` are already being served."""

    status = 429
    error_type = "overloaded"


class IncompleteGenerationError(InferenceError):
    """The engine's stream ended without a last token."""

    status = 500
    error_type = "incomplete_generation"


class InternalError(InferenceError):
    """Anything unforeseen; its text stays in the log."""


class LoadFailedError(InferenceError):
    """The model can't be had, isn't whole, or is of a kind that can't be served."""

    error_type = "load_failed"


class InsufficientMemoryError(InferenceError):
    """There is no room for the model until others are no longer in use."""

    status = 503
    error_type = "insufficient_memory"


class UnhealthyError(InferenceError):
    """The model is loading, failed to load, or the process is going away."""

    status = 503
    error_type = "healthcheck"
