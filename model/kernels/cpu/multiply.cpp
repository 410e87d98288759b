// Rows, sorted by the weight that they meet, times weights in panels: see model/linear/panels.py.
#include "methods.h"

namespace mixtray {

int64_t panel_width() {
  return WIDTH;
}

// x [n, I], where each weight's rows end [E], panels [E, P, I / t, WIDTH, t] -> [n, outputs] in the type of x
at::Tensor multiply(
    const at::Tensor& x, at::IntArrayRef ends, const at::Tensor& panels, int64_t outputs, bool tiles) {
  auto product = at::empty({x.size(0), outputs}, x.options());
  for_method(panels, tiles, [&](auto* chosen) {
    using Method = std::remove_pointer_t<decltype(chosen)>;
    const Rows<Method> rows(ends.data(), panels);
    rows.gather(x, nullptr);
    for_stored_type(x.scalar_type(), [&](auto number) {
      using Product = decltype(number);
      multiply_panels(
          rows, panels, StoreOutputs<Product, Method>{product.mutable_data_ptr<Product>(), outputs, rows});
    });
  });
  return product;
}

}  // namespace mixtray
