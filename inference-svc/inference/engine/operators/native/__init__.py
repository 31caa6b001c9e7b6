"""Steps, products and attention in C++ for x86-64, with what AVX-512 has for bfloat16 where it is there."""
