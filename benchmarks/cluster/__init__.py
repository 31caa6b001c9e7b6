"""What the benchmarks of the node share; `scripts/cluster up` and `scripts/deploy` come before them."""
