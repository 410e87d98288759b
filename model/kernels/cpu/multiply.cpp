// Rows, sorted by the weight that they meet, times weights in panels: see model/linear/panels.py.
#include "methods.h"

namespace mixtray {

int64_t panel_width() {
  return WIDTH;
}

// x [n, I], where each weight's rows end [E], panels [E, P, I / t, WIDTH, t] and, of weights in 8 bits, their scales
// [E, P * WIDTH] -> [n, outputs] in the type of x
at::Tensor multiply(
    const at::Tensor& x, at::IntArrayRef ends, const at::Tensor& panels, const std::optional<at::Tensor>& scales,
    int64_t outputs, bool tiles) {
  TORCH_CHECK(static_cast<int64_t>(ends.size()) == panels.size(0), "each weight has an end");
  auto product = at::empty({x.size(0), outputs}, x.options());
  for_method(panels, tiles, [&](auto* chosen) {
    using Method = std::remove_pointer_t<decltype(chosen)>;
    Rows<Method> rows(ends.data(), panels);
    rows.gather(x, nullptr);
    for_stored_type(x.scalar_type(), [&](auto number) {
      using Product = decltype(number);
      multiply_panels(
          rows, panels, scales, StoreOutputs<Product, Method>{product.mutable_data_ptr<Product>(), outputs, rows});
    });
  });
  return product;
}

}  // namespace mixtray
