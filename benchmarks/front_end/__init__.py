"""Whole architectures and single operators, put through a diagnosis."""
