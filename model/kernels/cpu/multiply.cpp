// Rows, sorted by the weight that they meet, times weights in panels: see model/linear/panels.py.
#include "panels.h"

namespace mixtray {

int64_t panel_width() {
  return WIDTH;
}

// x [n, I], where each weight's rows end [E], panels [E, P, I, WIDTH] -> [n, outputs] in the type of x
at::Tensor multiply(const at::Tensor& x, at::IntArrayRef ends, const at::Tensor& panels, int64_t outputs) {
  const auto exact = x.contiguous().to(at::kFloat);
  const auto rows = rows_of(exact);
  const std::vector<int32_t> of_weights(ends.begin(), ends.end());
  auto product = at::empty({x.size(0), outputs}, x.options());
  for_stored_type(panels.scalar_type(), [&](auto of_weight) {
    using Weight = decltype(of_weight);
    for_stored_type(x.scalar_type(), [&](auto of_product) {
      using Product = decltype(of_product);
      multiply_panels(
          rows, of_weights.data(), panels.size(0), panels.size(1), panels.size(2), panels.const_data_ptr<Weight>(),
          StoreOutputs<Product>{product.mutable_data_ptr<Product>(), outputs});
    });
  });
  return product;
}

}  // namespace mixtray
