// The next token of each row of scores, in one call a step: penalties, grammar, temperature, top-k, top-p and
// typical-p as in sampling.py and drawing.py, where each is written in plain torch, with its source. A row is read
// by one thread and its sums are taken in an order of its own, so its token never depends on the rows beside it.

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

namespace {

constexpr int kBlock = 64;  // tokens whose largest score, and whose sum of weights, is known
constexpr double kLargestScore = 1e30;  // LARGEST_SCORE of penalties.py

// What a row's token is chosen by, as choices.py packs it.
struct Wish {
    const uint32_t* allowed;  // a bit for each of `known_tokens`; null: all may come
    const int64_t* seen;      // tokens that are penalised
    const float* counts;      // how often each of them was generated
    uint64_t seed;            // of the answer
    int64_t number;           // of its tokens before this one
    double repetition, frequency, presence;
    double coldness;  // 1 / temperature
    double top_p, typical_p;
    int32_t known_tokens, seen_tokens;
    int32_t top_k;
    int32_t is_drawn;  // else the likeliest is taken
};
static_assert(sizeof(Wish) == 104, "choices.py packs as much");

// SplitMix64 at a place of a seed's row, as `random_bits` of drawing.py.
uint64_t random_bits(uint64_t seed, uint64_t place) {
    uint64_t mixed = seed + (place + 1) * 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

int blocks_of(int size) { return (size + kBlock - 1) / kBlock; }

// Calls `work(block, first, count)` for each block of `size` tokens.
template <class Work>
void each_block(int size, Work work) {
    for (int block = 0; block < blocks_of(size); ++block)
        work(block, block * kBlock, std::min(kBlock, size - block * kBlock));
}

void largest_of_blocks(const float* scores, int size, float* largest) {
    each_block(size, [=](int block, int first, int count) {
        float highest = scores[first];
#pragma omp simd reduction(max : highest)
        for (int i = first; i < first + count; ++i) highest = scores[i] > highest ? scores[i] : highest;
        largest[block] = highest;
    });
}

// The first place of the highest score.
int first_place(const float* scores, int size, const float* largest, float highest) {
    int block = 0;
    while (block < blocks_of(size) - 1 && largest[block] != highest) ++block;
    int place = block * kBlock;
    while (place < size - 1 && scores[place] != highest) ++place;
    return place;
}

// Of values that are moved about; the smallest where there are fewer.
float nth_largest(std::vector<float>& values, int n) {
    const auto nth = values.begin() + std::min<size_t>(n, values.size()) - 1;
    std::nth_element(values.begin(), nth, values.end(), std::greater<float>());
    return *nth;
}

// Whether it is neither infinite nor no number at all; -ffast-math takes that for granted elsewhere.
bool is_finite(float number) {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof(bits));
    return (bits & 0x7f800000u) != 0x7f800000u;
}

// Tokens of which one is drawn, as likely as their weights say. `keys` say which of them are kept first, and are the
// weights themselves but where typical-p is asked for.
struct Candidates {
    std::vector<float> weights, other_keys, sums;
    std::vector<int32_t> tokens;  // empty: all, in order
    int size = 0;

    // Weights are exp((score - highest) * coldness).
    void weigh(const float* scores, int count, float highest, float coldness) {
        size = count;
        if (weights.size() < static_cast<size_t>(count)) weights.resize(count);
        float* own = weights.data();
#pragma omp simd
        for (int i = 0; i < count; ++i) own[i] = std::exp((scores[i] - highest) * coldness);
    }

    // The sums of the weights' blocks, and of all.
    double sum() {
        sums.resize(blocks_of(size));
        double total = 0.0;
        each_block(size, [&](int block, int first, int count) {
            float part = 0.0f;
#pragma omp simd reduction(+ : part)
            for (int i = first; i < first + count; ++i) part += weights[i];
            sums[block] = part;
            total += part;
        });
        return total;
    }

    // Where the running sum of the weights passes `wanted`, which is less than all; `sum` was just called.
    int at(double wanted) const {
        int block = 0, last = 0;
        for (; block < blocks_of(size) - 1 && sums[block] <= wanted; ++block) wanted -= sums[block];
        // What rounding has left over belongs to the last token that has a weight.
        for (; block >= 0; --block) {
            bool any = false;
            for (int i = block * kBlock; i < std::min(size, (block + 1) * kBlock); ++i) {
                if (weights[i] <= 0.0f) continue;
                any = true, last = i, wanted -= weights[i];
                if (wanted < 0.0) return i;
            }
            if (any) break;
        }
        return last;
    }

    // Gives a weight of zero to those whose key isn't above `level`.
    void keep_above(const float* keys, float level) {
#pragma omp simd
        for (int i = 0; i < size; ++i) weights[i] = keys[i] > level ? weights[i] : 0.0f;
    }

    double sum_above(float level) const {
        double total = 0.0;
        each_block(size, [&](int, int first, int count) {
            float part = 0.0f;
#pragma omp simd reduction(+ : part)
            for (int i = first; i < first + count; ++i) part += weights[i] > level ? weights[i] : 0.0f;
            total += part;
        });
        return total;
    }

    // Keeps the likeliest until they have a share of `top_p`, with the one that reaches it and its equals.
    void keep_nucleus(double top_p) {
        const double most = top_p * sum();
        uint32_t low = 0, high;  // positive floats are in the order of their bits
        const float highest = *std::max_element(weights.begin(), weights.begin() + size);
        std::memcpy(&high, &highest, sizeof(high));
        float level = 0.0f;
        while (low < high) {  // for the least level with less than `most` above it
            const uint32_t middle = low + (high - low) / 2;
            std::memcpy(&level, &middle, sizeof(level));
            if (sum_above(level) < most)
                high = middle;
            else
                low = middle + 1;
        }
        std::memcpy(&level, &low, sizeof(level));
        keep_above(weights.data(), std::nextafter(level, 0.0f));
    }

    // Keys by which the tokens come first whose information is nearest to the mean.
    void key_by_typicality() {
        const float log_total = std::log(static_cast<float>(sum()));
        other_keys.resize(size);
        const float* own = weights.data();
        float* keys = other_keys.data();
        double information = 0.0, total = 0.0;
#pragma omp simd reduction(+ : information, total)
        for (int i = 0; i < size; ++i) {
            keys[i] = own[i] > 0.0f ? log_total - std::log(own[i]) : FLT_MAX;
            information += own[i] > 0.0f ? own[i] * keys[i] : 0.0f;
            total += own[i];
        }
        const auto entropy = static_cast<float>(information / total);
#pragma omp simd
        for (int i = 0; i < size; ++i) keys[i] = -std::fabs(keys[i] - entropy);
    }
};

// What one thread computes in; it keeps its room from row to row.
struct Desk {
    std::vector<float> scores, largest, bounds, found;
    Candidates candidates;

    // Only the `top_k` best become candidates, and those as good as the last of them: blocks with none are passed by.
    void weigh_best(const float* row, int size, float highest, const Wish& wish) {
        bounds = largest;
        const float bound = wish.top_k < blocks_of(size) ? nth_largest(bounds, wish.top_k) : -FLT_MAX;
        std::vector<int32_t>& tokens = candidates.tokens;
        found.clear();
        each_block(size, [&](int block, int first, int count) {
            if (largest[block] < bound) return;
            for (int i = first; i < first + count; ++i)
                if (row[i] >= bound) tokens.push_back(i), found.push_back(row[i]);
        });
        const float last = nth_largest(found, wish.top_k);
        tokens.erase(std::remove_if(tokens.begin(), tokens.end(), [=](int32_t i) { return row[i] < last; }),
                     tokens.end());
        found.resize(tokens.size());
        for (size_t i = 0; i < tokens.size(); ++i) found[i] = row[tokens[i]];
        candidates.weigh(found.data(), static_cast<int>(tokens.size()), highest, static_cast<float>(wish.coldness));
    }

    int draw(const float* row, int size, float highest, const Wish& wish) {
        candidates.tokens.clear();
        if (wish.top_k > 0 && wish.top_k < size)
            weigh_best(row, size, highest, wish);
        else
            candidates.weigh(row, size, highest, static_cast<float>(wish.coldness));
        const float* keys = candidates.weights.data();
        double share = wish.top_p;
        if (wish.typical_p < 1.0) {
            if (share < 1.0) candidates.keep_nucleus(share);
            candidates.key_by_typicality();
            keys = candidates.other_keys.data();
            share = wish.typical_p;
        }
        int place = 0;
        double total = candidates.sum();
        const double most = share * total;
        const uint64_t seed = random_bits(wish.seed, wish.number);
        for (uint64_t turn = 0; total > 0.0; ++turn) {
            const double point = static_cast<double>(random_bits(seed, turn) >> 16) / (uint64_t{1} << 48);
            place = candidates.at(point * total);
            if (share >= 1.0) break;
            // Those before it have their share: neither it nor what comes after it stays. Another is drawn.
            candidates.keep_above(keys, keys[place]);
            total = candidates.sum();
            if (total < most) break;
        }
        return candidates.tokens.empty() ? place : candidates.tokens[place];
    }

    // The row's scores with penalties and without what the grammar rules out.
    const float* changed(const float* row, int size, const Wish& wish) {
        scores.assign(row, row + size);
        for (int i = 0; i < wish.seen_tokens; ++i) {
            float& score = scores[wish.seen[i]];
            double value = score;
            value = value < 0.0 ? value * wish.repetition : value / wish.repetition;
            value -= wish.frequency * wish.counts[i] + (wish.counts[i] > 0.0f ? wish.presence : 0.0);
            score = static_cast<float>(std::min(std::max(value, -kLargestScore), kLargestScore));
        }
        if (wish.allowed != nullptr) {
            for (int i = 0; i < std::min(size, wish.known_tokens); ++i)
                if (!(wish.allowed[i / 32] >> (i % 32) & 1)) scores[i] = -FLT_MAX;
            std::fill(scores.begin() + std::min(size, wish.known_tokens), scores.end(), -FLT_MAX);
        }
        return scores.data();
    }

    // The token, its log probability and the logarithm of the sum of all exponentials, by the row as it is.
    void choose(const float* row, int size, const Wish& wish, int64_t* token, float* logprob, float* log_total) {
        largest.resize(blocks_of(size));
        largest_of_blocks(row, size, largest.data());
        float highest = *std::max_element(largest.begin(), largest.end()), total = 0.0f;
#pragma omp simd reduction(+ : total)
        for (int i = 0; i < size; ++i) total += std::exp(row[i] - highest);
        *log_total = highest + std::log(total);
        const float* wanted = row;
        if (wish.seen_tokens || wish.allowed != nullptr) {
            wanted = changed(row, size, wish);
            largest_of_blocks(wanted, size, largest.data());
            highest = *std::max_element(largest.begin(), largest.end());
        }
        const bool can_be_drawn = wish.is_drawn && is_finite(*log_total) && is_finite(highest);
        const int place = can_be_drawn ? draw(wanted, size, highest, wish)
                                       : first_place(wanted, size, largest.data(), highest);
        *token = place;
        *logprob = row[place] - *log_total;
    }
};

}  // namespace

extern "C" {

// Of each row of scores [rows, size].
void hadal_choose(const float* scores, const Wish* wishes, int64_t* tokens, float* logprobs, float* log_totals,
                  int rows, int size) {
#pragma omp parallel for schedule(dynamic)
    for (int row = 0; row < rows; ++row) {
        thread_local Desk desk;
        desk.choose(scores + static_cast<size_t>(row) * size, size, wishes[row], tokens + row, logprobs + row,
                    log_totals + row);
    }
}

}  // extern "C"
