"""Kernels in C++: how they are compiled. Each lies beside its plain twin in Python."""
