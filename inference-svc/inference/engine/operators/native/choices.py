"""The next tokens of a step in one call to C++, where torch takes milliseconds for 16 rows that are drawn."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor

from inference.engine.drawing import temperature_of
from inference.engine.number_format import cpu_instructions
from inference.engine.operators.address import address
from inference.engine.operators.native.build import NativeUnavailable, load_native
from inference.engine.port import Sampling
from inference.engine.sampler import Chosen, Place

_WISH = struct.Struct("@3PQq6d4i")  # `Wish` of choices.cpp
_INT_MAX = 2**31 - 1
_LEAST_REPETITION = 1e-100  # a score divided by less would be no number; by this it reaches the largest one
_NOTHING = (0, 0, 0)


class NativeChoices:
    """`sampling.choose_plainly` for scores in float32 on a CPU."""

    def __init__(self, library: Any) -> None:
        self._choose = library.hadal_choose
        self._choose.argtypes = (*[ctypes.c_void_p] * 5, ctypes.c_int, ctypes.c_int)
        self._choose.restype = None

    def __call__(self, places: Sequence[Place], logits: Tensor) -> Chosen:
        """In one call."""
        logits = logits.contiguous()
        wishes = _Wishes(places)
        count = len(places)
        ids = (ctypes.c_int64 * count)()
        logprobs, log_totals = ((ctypes.c_float * count)() for _ in range(2))
        self._choose(logits.data_ptr(), wishes.packed, ids, logprobs, log_totals, *logits.shape)
        return ids[:], logprobs[:], log_totals[:]


def _packed(
    sampling: Sampling, addresses: tuple[int, int, int], number: int, known_tokens: int, seen_tokens: int
) -> bytes:
    return _WISH.pack(
        *addresses,
        sampling.seed,
        number,
        max(sampling.repetition_penalty, _LEAST_REPETITION),
        sampling.frequency_penalty,
        sampling.presence_penalty,
        1 / temperature_of(sampling),
        sampling.top_p,
        sampling.typical_p,
        known_tokens,
        seen_tokens,
        min(sampling.top_k, _INT_MAX),
        sampling.do_sample,
    )


_PLAIN = _packed(Sampling(), _NOTHING, 0, 0, 0)


class _Wishes:
    """What each row's token is chosen by, `packed` with the addresses of what is `kept` meanwhile."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.kept: list[Any] = []
        self._masks = self._allowed(places)
        self.packed = b"".join(
            _PLAIN if place.sampler.is_plain else self._pack(row, place) for row, place in enumerate(places)
        )

    def _pack(self, row: int, place: Place) -> bytes:
        allowed, known_tokens = self._masks.get(row, (0, 0))
        seen, counts, seen_tokens = self._seen(place)
        sampling, addresses = place.sampler.sampling, (allowed, seen, counts)
        return _packed(sampling, addresses, place.number, known_tokens, seen_tokens)

    def _seen(self, place: Place) -> tuple[int, int, int]:
        """The addresses of the penalised tokens and of how often each was generated; how many they are."""
        penalties = place.sampler.penalties
        if penalties is None:
            return _NOTHING
        if not place.drafts:
            return *penalties.addresses, penalties.seen_tokens
        ids, counts = penalties.seen(place.drafts)
        self.kept += ids, counts
        return address(ids), address(counts), len(ids)

    def _allowed(self, places: Sequence[Place]) -> dict[int, tuple[int, int]]:
        """Of rows that a grammar holds: the address of the bits, and the number of tokens that it knows."""
        holds = {row: hold for row, place in enumerate(places) if (hold := place.hold)}
        if not holds:
            return {}
        from inference.engine.grammar import allowed_bits

        bits = allowed_bits(list(holds.values()))
        self.kept.append(bits)
        return {
            row: (address(own), hold.vocabulary_tokens)
            for own, (row, hold) in zip(bits, holds.items(), strict=True)
        }


@cache
def native_choices() -> NativeChoices | None:
    """None where there are no native kernels."""
    try:
        return NativeChoices(load_native(cpu_instructions()))
    except NativeUnavailable:
        return None
