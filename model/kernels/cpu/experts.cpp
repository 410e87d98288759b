// A layer's experts, with weights in panels: see model/linear/panel_experts.py.
#include "panels.h"

namespace mixtray {

// x [N, D], tokens [n] of the assignments and ends [E] of the experts, as model/kernels/route.py has them,
// w13 [E, P, D, WIDTH], whose panels hold L gates and their L ups, w2 [E, P', F, WIDTH] -> [n, D].
// Tokens are read where they are, and hidden states are written once: the gate opens while both are in registers.
at::Tensor experts(
    const at::Tensor& x, const at::Tensor& tokens, const at::Tensor& ends, const at::Tensor& w13, const at::Tensor& w2) {
  const auto exact = x.contiguous().to(at::kFloat);
  const int64_t n = tokens.size(0), E = w13.size(0), P = w13.size(1), D = x.size(1), F = w2.size(2);
  auto hidden = at::empty({n, P * L}, exact.options());
  auto outputs = at::empty({n, D}, x.options());
  const auto* of_tokens = tokens.const_data_ptr<int64_t>();
  const auto* of_ends = ends.const_data_ptr<int32_t>();
  auto* of_hidden = hidden.mutable_data_ptr<float>();
  std::vector<const float*> rows(n);
  for (int64_t i = 0; i < n; ++i) rows[i] = exact.const_data_ptr<float>() + of_tokens[i] * D;
  const auto hidden_rows = rows_of(hidden);
  for_stored_type(w13.scalar_type(), [&](auto number) {
    using Weight = decltype(number);
    multiply_panels(
        rows, of_ends, E, P, D, w13.const_data_ptr<Weight>(), [&](int64_t panel, int64_t row, Vec gate, Vec up) {
          (silu(gate) * up).store(of_hidden + row * P * L + panel * L);
        });
    multiply_panels(
        hidden_rows, of_ends, E, w2.size(1), F, w2.const_data_ptr<Weight>(),
        StoreOutputs<Weight>{outputs.mutable_data_ptr<Weight>(), D});
  });
  return outputs;
}

}  // namespace mixtray
