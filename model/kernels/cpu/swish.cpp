// silu(gate) * up: see model/kernels/swish.py.
#include "vectors.h"

namespace mixtray {

at::Tensor swish_product(const at::Tensor& gate_up) {
  const auto given = gate_up.contiguous();
  const int64_t rows = given.size(0), width = given.size(1) / 2;
  auto product = at::empty({rows, width}, given.options());
  for_stored_type(given.scalar_type(), [&](auto number) {
    using scalar_t = decltype(number);
    const auto* of_given = given.const_data_ptr<scalar_t>();
    auto* of_product = product.mutable_data_ptr<scalar_t>();
    for_tokens(rows, width, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const auto* gate = of_given + row * 2 * width;
        const auto* up = gate + width;
        for (int64_t i = 0; i < width; i += L) {
          const Vec opened = silu(load(gate + i, width - i), number) * load(up + i, width - i);
          store(of_product + row * width + i, opened, width - i);
        }
      }
    });
  });
  return product;
}

}  // namespace mixtray
