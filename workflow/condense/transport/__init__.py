"""Optimal transport: the one-sided partial problem of a subset and its class."""
