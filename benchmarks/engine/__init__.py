"""What `benchmarks/engine_cpu.py` runs in other environments."""
