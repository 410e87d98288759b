"""What a layer computes between its multiplications: in torch, in Triton for GPUs, in C++ for CPUs."""
