"""TGI's `GenerateParameters`: read from JSON, and checked with TGI's rules and wording.

Source: the validation of TGI's router (version 3) and its OpenAPI document.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import orjson

from inference.engine.grammar import GrammarKind, GrammarSource
from inference.engine.port import Sampling
from inference.errors import ValidationError
from inference.json_fields import U64_MAX, JsonFields, json_text
from inference.limits import Limits


@dataclass(frozen=True, slots=True)
class GenerateParameters:
    """What a caller asks for; None where they left the choice to the service.

    `model` stands beside the field `parameters` on TGI's routes, and may also name an adapter. Without
    `max_new_tokens` an answer may fill the rest of the window, but has `unasked_new_tokens` at most.
    """

    best_of: int | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    do_sample: bool = False
    max_new_tokens: int | None = None
    return_full_text: bool | None = None
    stop: tuple[str, ...] = ()
    truncate: int | None = None
    watermark: bool = False
    details: bool = False
    decoder_input_details: bool = False
    seed: int | None = None
    top_n_tokens: int | None = None
    grammar: GrammarSource | None = None
    adapter_id: str | None = None
    model: str | None = None
    unasked_new_tokens: int | None = None
    drawn_seed: int = field(default_factory=lambda: secrets.randbits(63))

    @classmethod
    def of(cls, fields: JsonFields) -> GenerateParameters:
        """Read `parameters` of TGI's own routes; fields that it doesn't know are ignored."""
        return cls(
            best_of=fields.integer("best_of"),
            temperature=fields.number("temperature"),
            repetition_penalty=fields.number("repetition_penalty"),
            frequency_penalty=fields.number("frequency_penalty"),
            top_k=fields.integer("top_k", -(2**31), 2**31 - 1),
            top_p=fields.number("top_p"),
            typical_p=fields.number("typical_p"),
            do_sample=fields.flag("do_sample"),
            max_new_tokens=fields.integer("max_new_tokens"),
            return_full_text=fields.flag("return_full_text") if fields.has("return_full_text") else None,
            stop=fields.texts("stop"),
            truncate=fields.integer("truncate"),
            watermark=fields.flag("watermark"),
            details=fields.flag("details"),
            decoder_input_details=fields.flag("decoder_input_details"),
            seed=fields.integer("seed", 0, U64_MAX),
            top_n_tokens=fields.integer("top_n_tokens"),
            grammar=read_grammar(fields.object("grammar")) if fields.has("grammar") else None,
            adapter_id=fields.text("adapter_id"),
        )

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn: asked for outright, or by any setting that only makes sense so."""
        shaping = (self.temperature, self.top_k, self.top_p, self.typical_p)
        return self.do_sample or any(value is not None for value in shaping)

    def check(self, limits: Limits) -> None:
        """Hold every field to its range.

        Raises:
            ValidationError: the first field that is out of range, in TGI's order and words.
        """
        self._check_best_of(limits)
        for wrong, message in self._ranges():
            if wrong:
                raise ValidationError(message)
        self._check_stop(limits)
        if self.top_n_tokens is not None and self.top_n_tokens > limits.max_top_n_tokens:
            raise ValidationError(
                f"`top_n_tokens` must be >= 0 and <= {limits.max_top_n_tokens}. Given: {self.top_n_tokens}"
            )
        if self.truncate is not None and not 0 < self.truncate <= limits.max_input_tokens:
            raise ValidationError(
                f"`truncate` must be strictly positive and less than {limits.max_input_tokens}. "
                f"Given: {self.truncate}"
            )
        self._check_supported()

    def _check_best_of(self, limits: Limits) -> None:
        best_of = 1 if self.best_of is None else self.best_of
        if limits.max_best_of == 1 and best_of != 1:
            raise ValidationError("`best_of` != 1 is not allowed for this endpoint")
        if not 0 < best_of <= limits.max_best_of:
            raise ValidationError(f"`best_of` must be > 0 and <= {limits.max_best_of}. Given: {best_of}")
        if best_of > 1 and not self.samples:
            raise ValidationError("you must use sampling when `best_of` is > 1")
        if best_of > 1 and self.seed is not None:
            raise ValidationError("`seed` must not be set when `best_of` > 1")

    def _ranges(self) -> tuple[tuple[bool, str], ...]:
        """(whether it is wrong, what TGI says then), for the fields whose range is fixed."""
        top_p, typical_p, repetition = self.top_p, self.typical_p, self.repetition_penalty
        frequency, presence = self.frequency_penalty, self.presence_penalty
        return (
            (
                self.temperature is not None and self.temperature <= 0,
                "`temperature` must be strictly positive",
            ),
            (repetition is not None and repetition <= 0, "`repetition_penalty` must be strictly positive"),
            (
                frequency is not None and not -2 <= frequency <= 2,
                "`frequency_penalty` must be >= -2.0 and <= 2.0",
            ),
            (
                presence is not None and not -2 <= presence <= 2,
                "`presence_penalty` must be >= -2.0 and <= 2.0",
            ),
            (top_p is not None and not 0 < top_p < 1, "`top_p` must be > 0.0 and < 1.0"),
            (typical_p is not None and not 0 < typical_p < 1, "`typical_p` must be > 0.0 and < 1.0"),
            (self.top_k is not None and self.top_k <= 0, "`top_k` must be strictly positive"),
            (self.max_new_tokens == 0, "`max_new_tokens` must be strictly positive"),
        )

    def _check_stop(self, limits: Limits) -> None:
        if len(self.stop) > limits.max_stop_sequences:
            raise ValidationError(
                f"`stop` supports up to {limits.max_stop_sequences} stop sequences. Given: {len(self.stop)}"
            )
        if "" in self.stop:
            raise ValidationError("`stop` sequences cannot be empty")

    def _check_supported(self) -> None:
        """Refuse what this engine doesn't do, rather than ignore it."""
        if self.watermark:
            raise ValidationError("watermark is not supported")

    def adapter(self, adapters: frozenset[str]) -> str | None:
        """The one of `adapters` that is asked for, by its id or as if it were a model.

        Raises:
            ValidationError: there is none of this id.
        """
        if self.adapter_id is None:
            return self.model if self.model in adapters else None
        if not adapters:
            raise ValidationError("`adapter_id` is not supported: no adapters are loaded")
        if self.adapter_id not in adapters:
            known = ", ".join(sorted(adapters))
            raise ValidationError(f"`adapter_id` must be one of {known}. Given: {self.adapter_id!r}")
        return self.adapter_id

    @property
    def reported_seed(self) -> int | None:
        """The seed that would give the same tokens again; none for a greedy choice."""
        return self.sampling().seed if self.samples else None

    def sampling(self) -> Sampling:
        """The engine's form, defaults filled in; where no seed was given, one is drawn once per object."""
        neutral = Sampling()
        return Sampling(
            do_sample=self.samples,
            temperature=self.temperature or neutral.temperature,
            top_k=self.top_k or neutral.top_k,
            top_p=self.top_p or neutral.top_p,
            typical_p=self.typical_p or neutral.typical_p,
            repetition_penalty=self.repetition_penalty or neutral.repetition_penalty,
            frequency_penalty=self.frequency_penalty or neutral.frequency_penalty,
            presence_penalty=self.presence_penalty or neutral.presence_penalty,
            seed=self.drawn_seed if self.seed is None else self.seed,
        )


def read_grammar(fields: JsonFields) -> GrammarSource:
    """TGI's `GrammarType`: `{"type": "json" | "json_schema" | "regex", "value": ...}`.

    A `json` (or `json_object`) is a schema, also as text; a `json_schema` has it under
    `schema`, as OpenAI does.

    Raises:
        ValidationError: an unknown type, or a value that isn't what its type says.
    """
    fields.require("type")
    kind = fields.text("type")
    if kind not in {"json", "json_object", "json_schema", "regex"}:
        raise ValidationError(
            f"`{fields.name('type')}` must be one of json, json_schema, regex. Given: {kind!r}"
        )
    fields.require("value")
    if kind == "regex":
        return GrammarSource(GrammarKind.REGEX, fields.text("value") or "")
    if kind == "json_schema":
        return schema_grammar(fields.object("value"), "schema")
    return schema_grammar(fields, "value")


def schema_grammar(fields: JsonFields, name: str) -> GrammarSource:
    """The JSON schema that a field holds, as an object or as text.

    Raises:
        ValidationError: it is neither, or nested too deeply.
    """
    fields.require(name)
    schema: Any = fields.values[name]
    if isinstance(schema, str):
        try:
            schema = orjson.loads(schema)
        except orjson.JSONDecodeError as error:
            raise ValidationError(f"`{fields.name(name)}` must be a JSON schema: it is not JSON") from error
    if not isinstance(schema, dict):
        raise ValidationError(f"`{fields.name(name)}` must be a JSON schema: an object")
    return GrammarSource(GrammarKind.JSON_SCHEMA, json_text(schema, fields.name(name)))
