// The product that everything in bfloat16 is made of, for AVX-512 BF16 instructions: a few rows with a block of 64
// outputs. The block's numbers lie in the order in which one instruction multiplies them (Intel's "VNNI" order):
// [inputs / 2, 64, 2], of each output the numbers for two inputs together.
#pragma once

#ifdef __AVX512BF16__

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "number.h"

constexpr int kLanes = 16;                     // sums of a register
constexpr int kRegisters = 4;                  // that a row's outputs of a block take
constexpr int kOutputs = kLanes * kRegisters;  // of a block
constexpr int kRowsAtOnce = 6;                 // times four sums, and four weights: 28 of the 32 registers

// The first `count` of sixteen or more.
inline __mmask16 first_lanes(int count) { return static_cast<__mmask16>(count >= kLanes ? 0xffff : (1 << count) - 1); }

inline void store(BFloat16* y, __mmask16 wanted, __m512 sums) {
    _mm256_mask_storeu_epi16(y, wanted, (__m256i)_mm512_cvtneps_pbh(sums));
}

inline void store(float* y, __mmask16 wanted, __m512 sums) { _mm512_mask_storeu_ps(y, wanted, sums); }

// Rows of numbers, `stride` of them from one row to the next.
template <class Number>
struct Rows {
    Number* numbers;
    int64_t stride;

    Number* operator[](int row) const { return numbers + row * stride; }
};

// y = start + x times the block at `weight`, of which the first `outputs` are wanted; `start` has 64 numbers a row.
template <int Count, class Number>
void multiply(Rows<const BFloat16> x, const BFloat16* weight, Rows<const float> start, Rows<Number> y, int inputs,
              int outputs) {
    __m512 sums[Count][kRegisters];
    for (int row = 0; row < Count; ++row)
        for (int part = 0; part < kRegisters; ++part) sums[row][part] = _mm512_loadu_ps(start[row] + part * kLanes);
    for (int input = 0; input < inputs; input += 2, weight += 2 * kOutputs) {
        __m512bh columns[kRegisters];
        for (int part = 0; part < kRegisters; ++part)
            columns[part] = (__m512bh)_mm512_loadu_si512(weight + part * 2 * kLanes);
        for (int row = 0; row < Count; ++row) {
            int32_t pair;
            std::memcpy(&pair, x[row] + input, sizeof pair);
            const __m512bh everywhere = (__m512bh)_mm512_set1_epi32(pair);
            for (int part = 0; part < kRegisters; ++part)
                sums[row][part] = _mm512_dpbf16_ps(sums[row][part], columns[part], everywhere);
        }
    }
    for (int row = 0; row < Count; ++row)
        for (int part = 0; part < kRegisters && part * kLanes < outputs; ++part)
            store(y[row] + part * kLanes, first_lanes(outputs - part * kLanes), sums[row][part]);
}

// The same for at most `Most` rows.
template <int Most = kRowsAtOnce, class Number>
void multiply_up_to(int count, Rows<const BFloat16> x, const BFloat16* weight, Rows<const float> start, Rows<Number> y,
                    int inputs, int outputs) {
    if (count == Most)
        multiply<Most>(x, weight, start, y, inputs, outputs);
    else if constexpr (Most > 1)
        multiply_up_to<Most - 1>(count, x, weight, start, y, inputs, outputs);
}

// The same for any number of rows.
template <class Number>
void multiply_all(int count, Rows<const BFloat16> x, const BFloat16* weight, Rows<const float> start, Rows<Number> y,
                  int inputs, int outputs) {
    for (int row = 0; row < count; row += kRowsAtOnce)
        multiply_up_to(count - row < kRowsAtOnce ? count - row : kRowsAtOnce, {x[row], x.stride}, weight,
                       {start[row], start.stride}, Rows<Number>{y[row], y.stride}, inputs, outputs);
}

#endif  // __AVX512BF16__
