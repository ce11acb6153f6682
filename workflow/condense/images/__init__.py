"""Which images there are and what they look like: index, sources, decoding, lists, subsets."""
