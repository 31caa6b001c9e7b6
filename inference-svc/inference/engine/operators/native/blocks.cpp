// Products with a GGUF file's own blocks, on x86-64 with AVX2: compiled at first use by build.py, called through
// ctypes. Matrices are row-major; threads are OpenMP's, torch's own.

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "number.h"

namespace {

constexpr int kBlock = 32;      // weights of a GGUF block
constexpr int kRowsAtOnce = 4;  // activation rows that share one unpacking of a weight block

// Rows of activations in blocks of 32 signed sixteen-bit numbers: value = quant * scale. Eight bits, as
// llama.cpp's Q8_1 has, cost enough of the logits to turn near ties between tokens, and are hardly faster:
// what a step of few rows waits for is the weights.
struct QuantizedRows {
    std::vector<int16_t> quants;
    std::vector<float> scales;  // [rows, blocks]
    std::vector<float> sums;    // [rows, blocks]: of a block's values, for what is added to every weight
};

void quantize_block(const float* x, int16_t* quants, float* scale, float* sum) {
    float largest = 0.0f;
    for (int i = 0; i < kBlock; ++i) largest = std::fmax(largest, std::fabs(x[i]));
    const float step = largest / 32767.0f, inverse = largest > 0.0f ? 32767.0f / largest : 0.0f;
    int total = 0;
    for (int i = 0; i < kBlock; ++i) {
        const int quant = static_cast<int>(std::nearbyint(x[i] * inverse));
        quants[i] = static_cast<int16_t>(quant);
        total += quant;
    }
    *scale = step;
    *sum = step * static_cast<float>(total);
}

float half(const uint8_t* bytes) {
    uint16_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    return _cvtsh_ss(bits);
}

float sum_of(__m256 lanes) {
    __m128 low = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    low = _mm_add_ps(low, _mm_movehl_ps(low, low));
    return _mm_cvtss_f32(_mm_add_ss(low, _mm_movehdup_ps(low)));
}

// The three kinds of blocks: their size, scale, what is added to every weight, and the 32 weights widened to
// sixteen bits.
struct Weights {
    __m256i first, second;
    // Eight partial sums of the product with 32 quants; 128 * 32767 * 4 fits into 32 bits.
    __m256 times(const int16_t* quants) const {
        const auto* halves = reinterpret_cast<const __m256i*>(quants);
        return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(first, _mm256_loadu_si256(halves)),
                                                   _mm256_madd_epi16(second, _mm256_loadu_si256(halves + 1))));
    }
};

__m128i sixteen_bytes(const uint8_t* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); }

struct FourBits : Weights {
    explicit FourBits(const uint8_t* pairs) {
        const __m256i wide = _mm256_cvtepu8_epi16(sixteen_bytes(pairs));
        first = _mm256_and_si256(wide, _mm256_set1_epi16(15));
        second = _mm256_srli_epi16(wide, 4);
    }
};

struct Q4_0 : FourBits {
    static constexpr int kBytes = 18;
    explicit Q4_0(const uint8_t* block) : FourBits(block + 2) {}
    static float scale(const uint8_t* block) { return half(block); }
    static float offset(const uint8_t* block) { return -8.0f * half(block); }
};

struct Q4_1 : FourBits {
    static constexpr int kBytes = 20;
    explicit Q4_1(const uint8_t* block) : FourBits(block + 4) {}
    static float scale(const uint8_t* block) { return half(block); }
    static float offset(const uint8_t* block) { return half(block + 2); }
};

struct Q8_0 : Weights {
    static constexpr int kBytes = 34;
    explicit Q8_0(const uint8_t* block) {
        first = _mm256_cvtepi8_epi16(sixteen_bytes(block + 2));
        second = _mm256_cvtepi8_epi16(sixteen_bytes(block + 18));
    }
    static float scale(const uint8_t* block) { return half(block); }
    static float offset(const uint8_t*) { return 0.0f; }
};

template <class Kind, int Rows, class Number>
void multiply(const uint8_t* weight, const QuantizedRows& x, int first, int blocks, int outputs, int output,
              Number* y) {
    __m256 lanes[Rows];
    float added[Rows] = {};
    for (int r = 0; r < Rows; ++r) lanes[r] = _mm256_setzero_ps();
    for (int b = 0; b < blocks; ++b, weight += Kind::kBytes) {
        const Kind block(weight);
        const float scale = Kind::scale(weight), offset = Kind::offset(weight);
        for (int r = 0; r < Rows; ++r) {
            const size_t place = static_cast<size_t>(first + r) * blocks + b;
            const __m256 step = _mm256_set1_ps(scale * x.scales[place]);
            lanes[r] = _mm256_fmadd_ps(block.times(x.quants.data() + place * kBlock), step, lanes[r]);
            added[r] += offset * x.sums[place];
        }
    }
    for (int r = 0; r < Rows; ++r) {
        const float product = sum_of(lanes[r]) + added[r];
        narrow(&product, y + static_cast<size_t>(first + r) * outputs + output, 1);
    }
}

template <class Kind, class From, class Number>
void block_linear(const From* x, const uint8_t* weight, Number* y, int rows, int inputs, int outputs) {
    const int blocks = inputs / kBlock;
    QuantizedRows quantized{std::vector<int16_t>(static_cast<size_t>(rows) * inputs),
                            std::vector<float>(static_cast<size_t>(rows) * blocks),
                            std::vector<float>(static_cast<size_t>(rows) * blocks)};
    for (int place = 0; place < rows * blocks; ++place) {
        const size_t start = static_cast<size_t>(place) * kBlock;
        float values[kBlock];
        widen(x + start, values, kBlock);
        quantize_block(values, quantized.quants.data() + start, &quantized.scales[place],
                       &quantized.sums[place]);
    }
    const size_t row_bytes = static_cast<size_t>(blocks) * Kind::kBytes;
#pragma omp parallel for schedule(static)
    for (int output = 0; output < outputs; ++output) {
        const uint8_t* own = weight + output * row_bytes;
        int row = 0;
        for (; row + kRowsAtOnce <= rows; row += kRowsAtOnce)
            multiply<Kind, kRowsAtOnce, Number>(own, quantized, row, blocks, outputs, output, y);
        for (; row < rows; ++row) multiply<Kind, 1, Number>(own, quantized, row, blocks, outputs, output, y);
    }
}

}  // namespace

extern "C" {

// y[rows, outputs] = x[rows, inputs] times a GGUF matrix [outputs, inputs]; kind 0: Q4_0, 1: Q4_1, 2: Q8_0.
void hadal_block_linear(int from_bfloat16, int to_bfloat16, int kind, const void* x, const uint8_t* weight, void* y,
                        int rows, int inputs, int outputs) {
    in_format(from_bfloat16, [=](auto read) {
        in_format(to_bfloat16, [=](auto written) {
            const auto* from = static_cast<const decltype(read)*>(x);
            auto* to = static_cast<decltype(written)*>(y);
            switch (kind) {
                case 0: block_linear<Q4_0>(from, weight, to, rows, inputs, outputs); break;
                case 1: block_linear<Q4_1>(from, weight, to, rows, inputs, outputs); break;
                default: block_linear<Q8_0>(from, weight, to, rows, inputs, outputs);
            }
        });
    });
}

}  // extern "C"
