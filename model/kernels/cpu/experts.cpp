// A layer's experts, with weights in panels: see model/linear/panel_experts.py.
#include "methods.h"

namespace mixtray {

// Opens the gates of a panel that holds L gates and their L ups, and stores L features of hidden states.
template <typename Method>
struct OpenGates {
  Rows<Method>& hidden;
  float* exact;  // [n, F] if hidden states are to be quantized, which takes whole rows of them; else null

  void operator()(int64_t panel, int64_t expert, int64_t first, int64_t count, Products<Method> gated) const {
    const int64_t left = hidden.inputs - panel * L;
    auto* const into = hidden.at(expert, first, panel * L);
    auto* const whole = exact + (hidden.begins[expert] + first) * hidden.inputs + panel * L;
    for (int64_t row = 0; row < count; ++row) {
      const Vec opened = silu(gated.left(row), typename Method::Number()) * gated.right(row);
      if constexpr (Rows<Method>::QUANTIZED) {
        store(whole + row * hidden.inputs, opened, left);
      } else {
        store(into + Method::offset(row, 0, hidden.inputs), opened, left);
      }
    }
  }
};

// x [N, D], tokens [n] of the assignments and ends [E] of the experts, as model/kernels/route.py has them,
// w13 [E, P, D / t, WIDTH, t], whose panels hold L gates and their L ups, w2 [E, P', F / t, WIDTH, t], and, of weights
// in 8 bits, the scales of both, [E, P * WIDTH] and [E, P' * WIDTH] -> [n, D].
at::Tensor experts(
    const at::Tensor& x, const at::Tensor& tokens, const at::Tensor& ends, const at::Tensor& w13,
    const std::optional<at::Tensor>& scales13, const at::Tensor& w2, const std::optional<at::Tensor>& scales2,
    bool tiles) {
  const auto* of_ends = ends.const_data_ptr<int32_t>();
  const int64_t n = tokens.size(0);
  TORCH_CHECK(ends.size(0) == w13.size(0) && of_ends[w13.size(0) - 1] == n, "each assignment has an expert");
  auto outputs = at::empty({n, x.size(1)}, x.options());
  for_method(w13, tiles, [&](auto* chosen) {
    using Method = std::remove_pointer_t<decltype(chosen)>;
    Rows<Method> rows(of_ends, w13), hidden(of_ends, w2);
    rows.gather(x, tokens.const_data_ptr<int64_t>());
    if constexpr (Rows<Method>::QUANTIZED) {
      auto exact = at::empty({n, hidden.inputs}, x.options().dtype(at::kFloat));
      multiply_panels(rows, w13, scales13, OpenGates<Method>{hidden, exact.template mutable_data_ptr<float>()});
      hidden.gather(exact, nullptr);
    } else {
      multiply_panels(rows, w13, scales13, OpenGates<Method>{hidden, nullptr});
    }
    for_stored_type(x.scalar_type(), [&](auto number) {
      using Stored = decltype(number);
      auto* const into = outputs.mutable_data_ptr<Stored>();
      multiply_panels(hidden, w2, scales2, StoreOutputs<Stored, Method>{into, outputs.size(1), hidden});
    });
  });
  return outputs;
}

}  // namespace mixtray
