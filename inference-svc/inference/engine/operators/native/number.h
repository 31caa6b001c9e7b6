// The number formats of rows: float, and bfloat16, which is the upper half of one. Steps widen what they read to
// float, compute, and narrow it at last.
#pragma once

#include <cstdint>
#include <cstring>

struct BFloat16 {
    uint16_t bits;
};

using Bits = uint32_t __attribute__((may_alias));

inline void widen(const float* from, float* to, int size) { std::memcpy(to, from, sizeof(float) * size); }

inline void widen(const BFloat16* from, float* to, int size) {
    auto* bits = reinterpret_cast<Bits*>(to);
    for (int i = 0; i < size; ++i) bits[i] = static_cast<uint32_t>(from[i].bits) << 16;
}

inline void narrow(const float* from, float* to, int size) { std::memcpy(to, from, sizeof(float) * size); }

// To the nearest, of two equally near ones to the even one.
inline void narrow(const float* from, BFloat16* to, int size) {
    const auto* bits = reinterpret_cast<const Bits*>(from);
    for (int i = 0; i < size; ++i) to[i].bits = static_cast<uint16_t>((bits[i] + 0x7fff + ((bits[i] >> 16) & 1)) >> 16);
}

// Does `work` with a number of the format that was asked for.
template <class Work>
void in_format(int bfloat16, Work work) {
    if (bfloat16)
        work(BFloat16{});
    else
        work(float{});
}
