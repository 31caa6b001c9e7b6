"""What models compute with: products with packed weights, attention over a paged cache, routed experts."""
