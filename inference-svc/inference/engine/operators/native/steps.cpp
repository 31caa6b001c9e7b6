// The steps of a layer beside its products, on x86-64 with AVX2 or AVX-512: compiled at first use by build.py,
// called through ctypes. Every function has its counterpart in plain torch, which the tests hold it against.
// Matrices are row-major, of float or bfloat16 (`Number`), and computed in float; threads are OpenMP's, torch's
// own.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "number.h"

namespace {

constexpr int kRowsWorthThreads = 32;  // fewer are done before a second thread has woken

template <class Number>
void rms_norm(const Number* x, int64_t stride, const Number* weight, Number* y, int rows, int size, float eps) {
#pragma omp parallel for schedule(static) if (rows >= kRowsWorthThreads)
    for (int row = 0; row < rows; ++row) {
        const Number* in = x + row * stride;
        Number* out = y + static_cast<size_t>(row) * size;
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int i = 0; i < size; ++i) squares += static_cast<float>(in[i]) * static_cast<float>(in[i]);
        const float factor = 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
#pragma omp simd
        for (int i = 0; i < size; ++i) out[i] = Number(static_cast<float>(in[i]) * factor * static_cast<float>(weight[i]));
    }
}

template <class Number>
void silu_mul(const Number* x, Number* y, int rows, int size) {
#pragma omp parallel for schedule(static) if (rows >= kRowsWorthThreads)
    for (int row = 0; row < rows; ++row) {
        const Number* gate = x + static_cast<size_t>(row) * 2 * size;
        Number* out = y + static_cast<size_t>(row) * size;
#pragma omp simd
        for (int i = 0; i < size; ++i) {
            const float value = gate[i];
            out[i] = Number(value / (1.0f + std::exp(-value)) * static_cast<float>(gate[size + i]));
        }
    }
}

template <class Number>
void rotate(Number* x, const Number* cosine, const Number* sine, int dim) {
    const int middle = dim / 2;
#pragma omp simd
    for (int i = 0; i < middle; ++i) {
        const float first = x[i], second = x[middle + i];
        x[i] = Number(first * static_cast<float>(cosine[i]) + second * static_cast<float>(sine[i]));
        x[middle + i] =
            Number(second * static_cast<float>(cosine[middle + i]) + first * static_cast<float>(sine[middle + i]));
    }
}

template <class Number>
void rotate_and_write(Number* heads, const Number* cosine, const Number* sine, const int64_t* slots, Number* cache,
                      int tokens, int heads_count, int rotated, int queries, int dim, int64_t cache_slots) {
#pragma omp parallel for schedule(static) if (tokens >= kRowsWorthThreads)
    for (int token = 0; token < tokens; ++token) {
        const size_t angles = static_cast<size_t>(token) * dim;
        for (int head = 0; head < heads_count; ++head) {
            Number* x = heads + (static_cast<size_t>(token) * heads_count + head) * dim;
            if (head < rotated) rotate(x, cosine + angles, sine + angles, dim);
            if (head >= queries)
                std::memcpy(cache + ((head - queries) * cache_slots + slots[token]) * dim, x, sizeof(Number) * dim);
        }
    }
}

// A softmax of `length` scores, in place.
void softmax(float* scores, int length) {
    float highest = scores[0], total = 0.0f;
#pragma omp simd reduction(max : highest)
    for (int place = 1; place < length; ++place) highest = scores[place] > highest ? scores[place] : highest;
#pragma omp simd reduction(+ : total)
    for (int place = 0; place < length; ++place) {
        scores[place] = std::exp(scores[place] - highest);
        total += scores[place];
    }
    const float inverse = 1.0f / total;
#pragma omp simd
    for (int place = 0; place < length; ++place) scores[place] *= inverse;
}

// The heads of one sequence that share keys and values.
template <class Number>
struct SharedHeads {
    const Number* keys;
    const Number* values;
    const int32_t* table;
    int block_tokens, length, count, dim, value_dim;

    int64_t slot(int place) const {
        return int64_t{table[place / block_tokens]} * block_tokens + place % block_tokens;
    }

    // queries [count, dim]; scores [count, length] and wide [(count + 1) * max(dim, value_dim)] are scratch.
    void attend(const Number* queries, Number* output, float* scores, float* wide, float scale) const {
        float* entry = wide + static_cast<size_t>(count) * (dim > value_dim ? dim : value_dim);
        for (int i = 0; i < count * dim; ++i) wide[i] = static_cast<float>(queries[i]) * scale;
        for (int place = 0; place < length; ++place) {
            widen(keys + slot(place) * dim, entry, dim);
            for (int head = 0; head < count; ++head) {
                const float* query = wide + static_cast<size_t>(head) * dim;
                float product = 0.0f;
#pragma omp simd reduction(+ : product)
                for (int i = 0; i < dim; ++i) product += query[i] * entry[i];
                scores[static_cast<size_t>(head) * length + place] = product;
            }
        }
        for (int head = 0; head < count; ++head) softmax(scores + static_cast<size_t>(head) * length, length);
        std::memset(wide, 0, sizeof(float) * count * value_dim);
        for (int place = 0; place < length; ++place) {
            widen(values + slot(place) * dim, entry, value_dim);
            for (int head = 0; head < count; ++head) {
                const float weight = scores[static_cast<size_t>(head) * length + place];
                float* sums = wide + static_cast<size_t>(head) * value_dim;
#pragma omp simd
                for (int i = 0; i < value_dim; ++i) sums[i] += weight * entry[i];
            }
        }
        for (int i = 0; i < count * value_dim; ++i) output[i] = Number(wide[i]);
    }

    static void widen(const Number* from, float* to, int size) {
#pragma omp simd
        for (int i = 0; i < size; ++i) to[i] = static_cast<float>(from[i]);
    }
};

template <class Number>
void paged_decode(const Number* queries, const Number* cache, const int32_t* tables, const int32_t* lengths,
                  Number* output, int sequences, int heads, int kv_heads, int values_part, int dim, int value_dim,
                  int table_stride, int block_tokens, int64_t row_stride, int64_t cache_slots, float scale) {
    const int group = heads / kv_heads;
#pragma omp parallel
    {
        std::vector<float> scores;
        std::vector<float> wide(static_cast<size_t>(group + 1) * (dim > value_dim ? dim : value_dim));
#pragma omp for collapse(2) schedule(dynamic)
        for (int sequence = 0; sequence < sequences; ++sequence)
            for (int kv_head = 0; kv_head < kv_heads; ++kv_head) {
                const SharedHeads<Number> shared{cache + kv_head * cache_slots * dim,
                                                 cache + (values_part + kv_head) * cache_slots * dim,
                                                 tables + static_cast<size_t>(sequence) * table_stride,
                                                 block_tokens,
                                                 lengths[sequence],
                                                 group,
                                                 dim,
                                                 value_dim};
                const size_t first = static_cast<size_t>(kv_head) * group;
                scores.resize(static_cast<size_t>(group) * shared.length);
                shared.attend(queries + sequence * row_stride + first * dim,
                              output + (static_cast<size_t>(sequence) * heads + first) * value_dim, scores.data(),
                              wide.data(), scale);
            }
    }
}

// Does `work` with a number of the format that was asked for.
template <class Work>
void in_format(int bfloat16, Work work) {
    if (bfloat16)
        work(BFloat16{});
    else
        work(float{});
}

}  // namespace

extern "C" {

// y[rows, size] = x / sqrt(mean(x^2) + eps) * weight, row by row; x has `stride` numbers from one row to the next.
void hadal_rms_norm(int bfloat16, const void* x, int64_t stride, const void* weight, void* y, int rows, int size,
                    float eps) {
    in_format(bfloat16, [=](auto number) {
        using Number = decltype(number);
        rms_norm(static_cast<const Number*>(x), stride, static_cast<const Number*>(weight), static_cast<Number*>(y),
                 rows, size, eps);
    });
}

// y[rows, size] = silu(x[:, :size]) * x[:, size:].
void hadal_silu_mul(int bfloat16, const void* x, void* y, int rows, int size) {
    in_format(bfloat16, [=](auto number) {
        using Number = decltype(number);
        silu_mul(static_cast<const Number*>(x), static_cast<Number*>(y), rows, size);
    });
}

// Rotates the first `rotated` of `heads_count` heads of each token in place (cosine and sine [tokens, dim], the
// first half of the sine negated), and copies all heads from `queries` on into the cache [parts, slots, dim].
void hadal_rotate_and_write(int bfloat16, void* heads, const void* cosine, const void* sine, const int64_t* slots,
                            void* cache, int tokens, int heads_count, int rotated, int queries, int dim,
                            int64_t cache_slots) {
    in_format(bfloat16, [=](auto number) {
        using Number = decltype(number);
        rotate_and_write(static_cast<Number*>(heads), static_cast<const Number*>(cosine),
                         static_cast<const Number*>(sine), slots, static_cast<Number*>(cache), tokens, heads_count,
                         rotated, queries, dim, cache_slots);
    });
}

// Attention of one query a sequence over the paged cache [parts, blocks, block_tokens, dim], whose first
// `kv_heads` parts are keys; values begin at the part `values_part` and have `value_dim` numbers. Queries are
// [sequences, heads, dim] with `row_stride` numbers from one sequence to the next; output is
// [sequences, heads, value_dim].
void hadal_paged_decode(int bfloat16, const void* queries, const void* cache, const int32_t* tables,
                        const int32_t* lengths, void* output, int sequences, int heads, int kv_heads,
                        int values_part, int dim, int value_dim, int table_stride, int block_tokens,
                        int64_t row_stride, int64_t cache_slots, float scale) {
    in_format(bfloat16, [=](auto number) {
        using Number = decltype(number);
        paged_decode(static_cast<const Number*>(queries), static_cast<const Number*>(cache), tables, lengths,
                     static_cast<Number*>(output), sequences, heads, kv_heads, values_part, dim, value_dim,
                     table_stride, block_tokens, row_stride, cache_slots, scale);
    });
}

}  // extern "C"
