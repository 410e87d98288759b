"""The kernels of a layer in Triton, which comes with torch's builds for GPUs alone."""

from model.kernels.kernels import Kernels
from model.kernels.triton_norm import add_norm
from model.kernels.triton_rotation import rotate
from model.kernels.triton_route import route
from model.kernels.triton_swish import swish_product
from model.kernels.triton_weighted_sum import weighted_sum

TRITON = Kernels("triton", add_norm, rotate, route, swish_product, weighted_sum)
