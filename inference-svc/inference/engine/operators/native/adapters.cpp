// What adapters of low rank add to a product, for all adapters of a step in one call (Punica's and S-LoRA's way, see
// lora/linear.py): y += (x down) up, each run of rows with the matrices of its own adapter. Matrices are row-major, of
// float or bfloat16, and computed in float; a matrix is widened once for all rows of its run.

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "number.h"

namespace {

constexpr int kNumbersAtOnce = 256;  // that are widened
constexpr int kRanksAtOnce = 4;      // so that sums, or numbers that are loaded, are shared
constexpr int kRowsAtOnce = 16;      // whose sums are kept

// What adapters.py packs. `up` is [ranks, outputs], for the product's columns from `column` on and the narrow rows'
// numbers from `first_rank` on.
struct Part {
    const void* up;
    int32_t column, outputs, first_rank, ranks;
};
static_assert(sizeof(Part) == 24, "adapters.py packs as much");

// An adapter's matrices; `down` is [ranks, inputs], and null where it leaves the product as it is.
struct Delta {
    const void* down;
    const Part* parts;
    int32_t ranks, part_count;
};
static_assert(sizeof(Delta) == 24, "adapters.py packs as much");

// The rows of one adapter.
struct Run {
    int32_t delta, first, rows;
};

// One thread's share of a run: `count` ranks, or outputs of a part, from `first` on.
struct Task {
    const Run* run;
    const Part* part;
    int first, count;
    size_t low;  // where the run's narrow rows begin
};

// sums[i] = left[i] times `right`, of `size` numbers; left's are `stride` apart.
template <int Count>
void products(const float* left, int stride, const float* right, int size, float* sums) {
    float own[Count] = {};
#pragma omp simd reduction(+ : own)
    for (int i = 0; i < size; ++i)
        for (int rank = 0; rank < Count; ++rank) own[rank] += left[rank * stride + i] * right[i];
    for (int rank = 0; rank < Count; ++rank) sums[rank] += own[rank];
}

// sums += factors[i] * rows[i], of `size` numbers.
template <int Count>
void add_scaled(const float* factors, const float* rows, int stride, int size, float* sums) {
#pragma omp simd
    for (int i = 0; i < size; ++i) {
        float sum = sums[i];
        for (int rank = 0; rank < Count; ++rank) sum += factors[rank] * rows[rank * stride + i];
        sums[i] = sum;
    }
}

// Calls `work` with a constant of 1 to kRanksAtOnce.
template <class Work>
void with_count(int count, Work work) {
    static_assert(kRanksAtOnce == 4);
    switch (count) {
        case 1: return work(std::integral_constant<int, 1>{});
        case 2: return work(std::integral_constant<int, 2>{});
        case 3: return work(std::integral_constant<int, 3>{});
        default: return work(std::integral_constant<int, 4>{});
    }
}

template <class Number>
struct Step {
    const Number* x;
    Number* y;
    const Delta* deltas;
    int inputs, outputs;
    float* wide;  // the rows of x
    float* low;   // x down

    void go_down(const Task& task) const {
        const Delta& delta = deltas[task.run->delta];
        const Number* down = static_cast<const Number*>(delta.down) + static_cast<size_t>(task.first) * inputs;
        float* sums = low + task.low + task.first;
        for (int row = 0; row < task.run->rows; ++row) std::fill_n(sums + row * delta.ranks, task.count, 0.0f);
        float factors[kRanksAtOnce * kNumbersAtOnce];
        for (int first = 0; first < inputs; first += kNumbersAtOnce) {
            const int size = std::min(kNumbersAtOnce, inputs - first);
            for (int rank = 0; rank < task.count; ++rank)
                widen(down + static_cast<size_t>(rank) * inputs + first, factors + rank * kNumbersAtOnce, size);
            with_count(task.count, [&](auto count) {
                for (int row = 0; row < task.run->rows; ++row)
                    products<count()>(factors, kNumbersAtOnce, wide + static_cast<size_t>(task.run->first + row) * inputs + first,
                                      size, sums + row * delta.ranks);
            });
        }
    }

    void go_up(const Task& task) const {
        const Part& part = *task.part;
        const int all_ranks = deltas[task.run->delta].ranks;
        const Number* up = static_cast<const Number*>(part.up) + task.first;
        float factors[kRanksAtOnce * kNumbersAtOnce], sums[kRowsAtOnce * kNumbersAtOnce];
        for (int first = 0; first < task.run->rows; first += kRowsAtOnce) {
            const int rows = std::min(kRowsAtOnce, task.run->rows - first);
            Number* to = y + static_cast<size_t>(task.run->first + first) * outputs + part.column + task.first;
            const float* own = low + task.low + static_cast<size_t>(first) * all_ranks + part.first_rank;
            for (int row = 0; row < rows; ++row)
                widen(to + static_cast<size_t>(row) * outputs, sums + row * kNumbersAtOnce, task.count);
            for (int rank = 0; rank < part.ranks; rank += kRanksAtOnce) {
                const int ranks = std::min(kRanksAtOnce, part.ranks - rank);
                for (int i = 0; i < ranks; ++i)
                    widen(up + static_cast<size_t>(rank + i) * part.outputs, factors + i * kNumbersAtOnce, task.count);
                with_count(ranks, [&](auto count) {
                    for (int row = 0; row < rows; ++row)
                        add_scaled<count()>(own + row * all_ranks + rank, factors, kNumbersAtOnce, task.count,
                                            sums + row * kNumbersAtOnce);
                });
            }
            for (int row = 0; row < rows; ++row)
                narrow(sums + row * kNumbersAtOnce, to + static_cast<size_t>(row) * outputs, task.count);
        }
    }
};

// Room for `size` floats, this thread's own until it asks again.
float* scratch(size_t size) {
    thread_local std::vector<float> room;
    if (room.size() < size) room.resize(size);
    return room.data();
}

template <class Number>
void add_low_rank(const Number* x, Number* y, const Delta* deltas, const Run* runs, int run_count, int inputs,
                  int outputs) {
    std::vector<Task> downs, ups;
    size_t low_size = 0;
    int end = 0;
    for (const Run* run = runs; run < runs + run_count; ++run) {
        const Delta& delta = deltas[run->delta];
        if (delta.down == nullptr) continue;
        for (int rank = 0; rank < delta.ranks; rank += kRanksAtOnce)
            downs.push_back({run, nullptr, rank, std::min(kRanksAtOnce, delta.ranks - rank), low_size});
        for (const Part* part = delta.parts; part < delta.parts + delta.part_count; ++part)
            for (int output = 0; output < part->outputs; output += kNumbersAtOnce)
                ups.push_back({run, part, output, std::min(kNumbersAtOnce, part->outputs - output), low_size});
        low_size += static_cast<size_t>(run->rows) * delta.ranks;
        end = std::max(end, run->first + run->rows);
    }
    if (downs.empty()) return;
    const size_t wide_size = static_cast<size_t>(end) * inputs;
    float* room = scratch(wide_size + low_size);
    const Step<Number> step{x, y, deltas, inputs, outputs, room, room + wide_size};
    const int down_count = static_cast<int>(downs.size()), up_count = static_cast<int>(ups.size());
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int row = 0; row < end; ++row)
            widen(x + static_cast<size_t>(row) * inputs, step.wide + static_cast<size_t>(row) * inputs, inputs);
#pragma omp for schedule(static)
        for (int i = 0; i < down_count; ++i) step.go_down(downs[i]);
#pragma omp for schedule(static)
        for (int i = 0; i < up_count; ++i) step.go_up(ups[i]);
    }
}

}  // namespace

extern "C" {

// To y [rows, outputs], of the product of x [rows, inputs], for each run of rows what its adapter adds.
void hadal_add_low_rank(int bfloat16, const void* x, void* y, const Delta* deltas, const Run* runs, int run_count,
                        int inputs, int outputs) {
    in_format(bfloat16, [=](auto number) {
        using Number = decltype(number);
        add_low_rank(static_cast<const Number*>(x), static_cast<Number*>(y), deltas, runs, run_count, inputs, outputs);
    });
}

}  // extern "C"
