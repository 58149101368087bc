"""Numba kernels of imine: arrays in, arrays out. Imports nothing of ``imine``."""
