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

constexpr int kPart = 256;  // numbers that are widened at once

// Room for `size` floats, this thread's own until it asks again.
float* scratch(size_t size) {
    thread_local std::vector<float> room;
    if (room.size() < size) room.resize(size);
    return room.data();
}

template <class Number>
void rms_norm(const Number* x, int64_t stride, const Number* weight, Number* y, int rows, int size, float eps) {
#pragma omp parallel for schedule(static) if (rows >= kRowsWorthThreads)
    for (int row = 0; row < rows; ++row) {
        float* values = scratch(2 * static_cast<size_t>(size));
        float* factors = values + size;
        widen(x + row * stride, values, size);
        widen(weight, factors, size);
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int i = 0; i < size; ++i) squares += values[i] * values[i];
        const float factor = 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
        for (int i = 0; i < size; ++i) values[i] *= factor * factors[i];
        narrow(values, y + static_cast<size_t>(row) * size, size);
    }
}

template <class Number>
void silu_mul(const Number* x, Number* y, int rows, int size) {
#pragma omp parallel for schedule(static) if (rows >= kRowsWorthThreads)
    for (int row = 0; row < rows; ++row) {
        const Number* own = x + static_cast<size_t>(row) * 2 * size;
        float gate[kPart], up[kPart];
        for (int first = 0; first < size; first += kPart) {
            const int count = size - first < kPart ? size - first : kPart;
            widen(own + first, gate, count);
            widen(own + size + first, up, count);
#pragma omp simd
            for (int i = 0; i < count; ++i) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
            narrow(gate, y + static_cast<size_t>(row) * size + first, count);
        }
    }
}

// A head in place; `cosine` and `sine` are [dim].
template <class Number>
void rotate(Number* head, const float* cosine, const float* sine, int dim, float* values) {
    const int middle = dim / 2;
    widen(head, values, dim);
#pragma omp simd
    for (int i = 0; i < middle; ++i) {
        const float first = values[i], second = values[middle + i];
        values[i] = first * cosine[i] + second * sine[i];
        values[middle + i] = second * cosine[middle + i] + first * sine[middle + i];
    }
    narrow(values, head, dim);
}

template <class Number>
void rotate_and_write(Number* heads, const Number* cosine, const Number* sine, const int64_t* slots, Number* cache,
                      int tokens, int heads_count, int rotated, int queries, int dim, int64_t cache_slots) {
#pragma omp parallel for schedule(static) if (tokens >= kRowsWorthThreads)
    for (int token = 0; token < tokens; ++token) {
        float* angles = scratch(3 * static_cast<size_t>(dim));
        widen(cosine + static_cast<size_t>(token) * dim, angles, dim);
        widen(sine + static_cast<size_t>(token) * dim, angles + dim, dim);
        for (int head = 0; head < heads_count; ++head) {
            Number* x = heads + (static_cast<size_t>(token) * heads_count + head) * dim;
            if (head < rotated) rotate(x, angles, angles + dim, dim, angles + 2 * dim);
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

    // Queries are [count, dim], output is [count, value_dim].
    void attend(const Number* queries, Number* output, float scale) const {
        const size_t widest = dim > value_dim ? dim : value_dim;
        float* wide = scratch((count + 1) * widest + static_cast<size_t>(count) * length);
        float* entry = wide + count * widest;
        float* scores = entry + widest;
        widen(queries, wide, count * dim);
        for (int place = 0; place < length; ++place) {
            widen(keys + slot(place) * dim, entry, dim);
            for (int head = 0; head < count; ++head) {
                const float* query = wide + static_cast<size_t>(head) * dim;
                float product = 0.0f;
#pragma omp simd reduction(+ : product)
                for (int i = 0; i < dim; ++i) product += query[i] * entry[i];
                scores[static_cast<size_t>(head) * length + place] = product * scale;
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
        narrow(wide, output, count * value_dim);
    }
};

template <class Number>
void paged_decode(const Number* queries, const Number* cache, const int32_t* tables, const int32_t* lengths,
                  Number* output, int sequences, int heads, int kv_heads, int values_part, int dim, int value_dim,
                  int table_stride, int block_tokens, int64_t row_stride, int64_t cache_slots, float scale) {
    const int group = heads / kv_heads;
#pragma omp parallel for collapse(2) schedule(dynamic)
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
            shared.attend(queries + sequence * row_stride + first * dim,
                          output + (static_cast<size_t>(sequence) * heads + first) * value_dim, scale);
        }
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
