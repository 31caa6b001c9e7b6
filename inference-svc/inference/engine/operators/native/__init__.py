"""Steps of a decode in C++ for x86-64 with AVX2: built at first use, and only used where that works."""
