"""What Hadal costs and carries, each figure beside its bar; `./scripts/bench` lists and runs them."""
