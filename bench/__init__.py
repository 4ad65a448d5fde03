"""Benchmarks: one script for each claim, a peer measured in the same run, medians and ratios."""
