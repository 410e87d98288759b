// The operators by which Python calls the kernels of this folder, compiled as one file: most of the time goes to
// torch's headers.
#include "paged_attention.cpp"
#include "write_pages.cpp"
