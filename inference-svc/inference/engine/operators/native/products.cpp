// Products of bfloat16 rows with a bfloat16 weight, on x86-64 with AVX-512 BF16 instructions; elsewhere there are
// none in this library. One layout serves a single row, which waits for memory, and a whole prompt, which waits
// for arithmetic. Threads are OpenMP's, torch's own.

#include "products.h"

#ifdef __AVX512BF16__

extern "C" {

// A weight [outputs, inputs], inputs even, into blocks of 64 outputs [blocks, inputs / 2, 64, 2], the last one
// filled up with zeros.
void hadal_pack(const BFloat16* weight, BFloat16* packed, int outputs, int inputs) {
    const int blocks = (outputs + kOutputs - 1) / kOutputs;
#pragma omp parallel for schedule(static)
    for (int block = 0; block < blocks; ++block) {
        BFloat16* to = packed + static_cast<size_t>(block) * kOutputs * inputs;
        for (int input = 0; input < inputs; input += 2)
            for (int output = block * kOutputs; output < (block + 1) * kOutputs; ++output, to += 2) {
                if (output < outputs)
                    std::memcpy(to, weight + static_cast<size_t>(output) * inputs + input, 2 * sizeof *to);
                else
                    to[0] = to[1] = BFloat16{0};
            }
    }
}

// y[rows, outputs] = x[rows, inputs] times a packed weight plus `bias`, float [blocks * 64]; y is bfloat16 or float.
void hadal_linear(int bfloat16, const BFloat16* x, const BFloat16* packed, const float* bias, void* y, int rows,
                  int inputs, int outputs) {
    const int blocks = (outputs + kOutputs - 1) / kOutputs;
#pragma omp parallel for schedule(static)
    for (int block = 0; block < blocks; ++block) {
        const int first = block * kOutputs;
        in_format(bfloat16, [=](auto number) {
            using Number = decltype(number);
            multiply_all(rows, {x, inputs}, packed + static_cast<size_t>(first) * inputs, {bias + first, 0},
                         Rows<Number>{static_cast<Number*>(y) + first, outputs}, inputs, outputs - first);
        });
    }
}

}  // extern "C"

#endif  // __AVX512BF16__
