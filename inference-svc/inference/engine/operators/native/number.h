// The number formats of rows: float, and bfloat16, which is the upper half of one.
#pragma once

#include <cstdint>
#include <cstring>

struct BFloat16 {
    uint16_t bits;

    BFloat16() = default;
    // To the nearest, of two equally near ones to the even one.
    BFloat16(float value) {
        uint32_t whole;
        std::memcpy(&whole, &value, sizeof whole);
        bits = static_cast<uint16_t>((whole + 0x7fff + ((whole >> 16) & 1)) >> 16);
    }
    operator float() const {
        const uint32_t whole = static_cast<uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &whole, sizeof value);
        return value;
    }
};
