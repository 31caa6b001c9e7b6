// Attention in bfloat16 over the paged cache, of decodes and chunks of prompts alike, on x86-64 with AVX-512 BF16
// instructions; elsewhere there is none in this library. Keys and values are brought into the order of products.h
// 64 at a time, and every row of queries that shares them is multiplied with them at once.

#include "products.h"

#ifdef __AVX512BF16__

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

constexpr int kKeys = kOutputs;   // that are brought into order at once
constexpr int kRowsOfATask = 48;  // queries times heads that share them; more where one query has more heads

// One layer's part of the cache and one sequence's way through it.
struct Entries {
    const BFloat16* keys;
    const BFloat16* values;
    const int32_t* table;
    int block_tokens, dim, value_dim;

    int64_t slot(int place) const {
        return int64_t{table[place / block_tokens]} * block_tokens + place % block_tokens;
    }
};

// Sixteen rows of sixteen pairs of numbers become sixteen columns; `count` of them are stored, 64 pairs apart.
void transpose(__m512i (&rows)[16], BFloat16* to, int count) {
    __m512i mixed[16];
    for (int i = 0; i < 16; i += 2) {
        mixed[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        mixed[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            rows[i + 2 * j] = _mm512_unpacklo_epi64(mixed[i + j], mixed[i + 2 + j]);
            rows[i + 2 * j + 1] = _mm512_unpackhi_epi64(mixed[i + j], mixed[i + 2 + j]);
        }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 16; j += 8) {
            mixed[i + j] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0x88);
            mixed[i + j + 4] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0xdd);
        }
    for (int i = 0; i < 8; ++i) {
        rows[i] = _mm512_shuffle_i32x4(mixed[i], mixed[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(mixed[i], mixed[i + 8], 0xdd);
    }
    for (int i = 0; i < count; ++i) _mm512_storeu_si512(to + i * 2 * kOutputs, rows[i]);
}

// `count` keys from place `first` on into [dim / 2, 64, 2]; those beyond are zeros.
void order_keys(const Entries& from, int first, int count, BFloat16* to) {
    for (int key = 0; key < kKeys; key += 16)
        for (int pair = 0; pair < from.dim / 2; pair += 16) {
            const int wanted = std::min(16, from.dim / 2 - pair);
            __m512i rows[16];
            for (int i = 0; i < 16; ++i)
                rows[i] = key + i < count
                              ? _mm512_maskz_loadu_epi32(
                                    first_lanes(wanted), from.keys + from.slot(first + key + i) * from.dim + 2 * pair)
                              : _mm512_setzero_si512();
            transpose(rows, to + (pair * kOutputs + key) * 2, wanted);
        }
}

// `count` values from place `first` on, 64 numbers of each from `column` on, into [32, 64, 2]; beyond are zeros.
void order_values(const Entries& from, int first, int count, int column, BFloat16* to) {
    static const struct Order {
        uint16_t low[32], high[32];
        Order() {
            for (int i = 0; i < 16; ++i) {
                low[2 * i] = static_cast<uint16_t>(i), low[2 * i + 1] = static_cast<uint16_t>(32 + i);
                high[2 * i] = static_cast<uint16_t>(16 + i), high[2 * i + 1] = static_cast<uint16_t>(48 + i);
            }
        }
    } order;
    const __m512i low = _mm512_loadu_si512(order.low), high = _mm512_loadu_si512(order.high);
    for (int key = 0; key < kKeys; key += 2, to += 2 * kOutputs)
        for (int part = 0; part < kOutputs; part += 32) {
            const int wanted = std::clamp(from.value_dim - column - part, 0, 32);
            const auto mask = static_cast<__mmask32>(wanted == 32 ? ~0u : (1u << wanted) - 1);
            __m512i both[2];
            for (int i = 0; i < 2; ++i)
                both[i] = key + i < count
                              ? _mm512_maskz_loadu_epi16(
                                    mask, from.values + from.slot(first + key + i) * from.dim + column + part)
                              : _mm512_setzero_si512();
            _mm512_storeu_si512(to + 2 * part, _mm512_permutex2var_epi16(both[0], low, both[1]));
            _mm512_storeu_si512(to + 2 * part + 32, _mm512_permutex2var_epi16(both[0], high, both[1]));
        }
}

// exp(scale * (score - highest)) of the first `seen` scores as weights, zeros after them; returns their sum.
float weigh(float* scores, BFloat16* weights, int seen, int places, float scale) {
    float highest = scores[0], total = 0.0f;
#pragma omp simd reduction(max : highest)
    for (int place = 0; place < seen; ++place) highest = scores[place] > highest ? scores[place] : highest;
#pragma omp simd reduction(+ : total)
    for (int place = 0; place < seen; ++place) {
        scores[place] = std::exp(scale * (scores[place] - highest));
        total += scores[place];
    }
    narrow(scores, weights, seen);
    std::memset(static_cast<void*>(weights + seen), 0, sizeof(BFloat16) * (places - seen));
    return total;
}

// What one thread computes in; it keeps its room from task to task.
struct Desk {
    std::vector<BFloat16> ordered, queries, weights;
    std::vector<float> scores, sums, totals;

    void make_room(size_t rows, int dim, int value_columns, int places) {
        at_least(ordered, static_cast<size_t>(kOutputs) * std::max(dim, kKeys));
        at_least(queries, rows * dim);
        at_least(weights, rows * places);
        at_least(scores, rows * places);
        at_least(sums, rows * value_columns);
        at_least(totals, rows);
    }

    template <class Number>
    static void at_least(std::vector<Number>& numbers, size_t size) {
        if (numbers.size() < size) numbers.resize(size);
    }
};

const float kZeros[kOutputs] = {};

// Rows of queries that share keys and values: `tokens` of them times `heads`, the last `tokens` before `length`.
struct Task {
    Entries entries;
    int tokens, heads, length;

    void attend(Rows<const BFloat16> queries, Rows<BFloat16> output, float scale, Desk& desk) const {
        const int dim = entries.dim, value_dim = entries.value_dim, rows = tokens * heads;
        const int places = (length + kKeys - 1) / kKeys * kKeys;
        const int columns = (value_dim + kOutputs - 1) / kOutputs * kOutputs;
        desk.make_room(rows, dim, columns, places);
        for (int token = 0; token < tokens; ++token)
            std::memcpy(static_cast<void*>(desk.queries.data() + token * heads * dim), queries[token],
                        sizeof(BFloat16) * heads * dim);
        for (int first = 0; first < length; first += kKeys) {
            order_keys(entries, first, std::min(kKeys, length - first), desk.ordered.data());
            multiply_all(rows, {desk.queries.data(), dim}, desk.ordered.data(), {kZeros, 0},
                         Rows<float>{desk.scores.data() + first, places}, dim, kKeys);
        }
        for (int row = 0; row < rows; ++row)
            desk.totals[row] = weigh(desk.scores.data() + row * places, desk.weights.data() + row * places,
                                length - tokens + row / heads + 1, places, scale);
        std::fill_n(desk.sums.begin(), rows * columns, 0.0f);
        for (int first = 0; first < length; first += kKeys)
            for (int column = 0; column < value_dim; column += kOutputs) {
                order_values(entries, first, std::min(kKeys, length - first), column, desk.ordered.data());
                float* sums = desk.sums.data() + column;
                multiply_all(rows, {desk.weights.data() + first, places}, desk.ordered.data(), {sums, columns},
                             Rows<float>{sums, columns}, kKeys, kOutputs);
            }
        for (int row = 0; row < rows; ++row) {
            float* own = desk.sums.data() + row * columns;
            for (int i = 0; i < value_dim; ++i) own[i] /= desk.totals[row];
            narrow(own, output[row / heads] + row % heads * value_dim, value_dim);
        }
    }
};

}  // namespace

extern "C" {

// Attention of each sequence's last queries (`starts` [sequences + 1]) over the paged cache [parts, blocks,
// block_tokens, dim], dim even, whose first `kv_heads` parts are keys; values begin at the part `values_part` and
// have `value_dim` numbers. Queries are [tokens, heads, dim] with `row_stride` numbers from one token to the next;
// output is [tokens, heads, value_dim].
void hadal_attend(const BFloat16* queries, const BFloat16* cache, const int32_t* starts, const int32_t* tables,
                  const int32_t* lengths, BFloat16* output, int sequences, int heads, int kv_heads, int values_part,
                  int dim, int value_dim, int table_stride, int block_tokens, int64_t row_stride, int64_t cache_slots,
                  float scale) {
    const int group = heads / kv_heads, tokens_of_a_task = std::max(1, kRowsOfATask / group);
    struct Part {
        int sequence, first, tokens, length;
    };
    std::vector<Part> parts;
    for (int i = 0; i < sequences; ++i)
        for (int first = starts[i]; first < starts[i + 1]; first += tokens_of_a_task) {
            const int tokens = std::min(tokens_of_a_task, starts[i + 1] - first);
            parts.push_back({i, first, tokens, lengths[i] - (starts[i + 1] - first - tokens)});
        }
    const int count = static_cast<int>(parts.size());
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int i = 0; i < count; ++i)
        for (int kv_head = 0; kv_head < kv_heads; ++kv_head) {
            thread_local Desk desk;
            const Part& part = parts[i];
            const Entries entries{cache + kv_head * cache_slots * dim,
                                  cache + (values_part + kv_head) * cache_slots * dim,
                                  tables + static_cast<size_t>(part.sequence) * table_stride,
                                  block_tokens,
                                  dim,
                                  value_dim};
            const Task task{entries, part.tokens, group, part.length};
            const int64_t out_stride = static_cast<int64_t>(heads) * value_dim;
            task.attend({queries + part.first * row_stride + kv_head * group * dim, row_stride},
                        {output + part.first * out_stride + kv_head * group * value_dim, out_stride}, scale, desk);
        }
}

}  // extern "C"

#endif  // __AVX512BF16__
