"""Factors and shifts that move between neighbouring layers and keep the function."""
