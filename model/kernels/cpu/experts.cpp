// A layer's experts, with weights in panels: see model/linear/panel_experts.py.
#include "methods.h"

namespace mixtray {

// x [N, D], tokens [n] of the assignments and ends [E] of the experts, as model/kernels/route.py has them,
// w13 [E, P, D / t, WIDTH, t], whose panels hold L gates and their L ups, w2 [E, P', F / t, WIDTH, t] -> [n, D].
// Hidden states are written once: the gate opens while both are in registers.
at::Tensor experts(
    const at::Tensor& x, const at::Tensor& tokens, const at::Tensor& ends, const at::Tensor& w13, const at::Tensor& w2,
    bool tiles) {
  const auto* of_ends = ends.const_data_ptr<int32_t>();
  auto outputs = at::empty({tokens.size(0), x.size(1)}, x.options());
  for_method(w13, tiles, [&](auto* chosen) {
    using Method = std::remove_pointer_t<decltype(chosen)>;
    const Rows<Method> rows(of_ends, w13), hidden(of_ends, w2);
    rows.gather(x, tokens.const_data_ptr<int64_t>());
    const auto open_gates = [&](int64_t panel, int64_t expert, int64_t first, int64_t count, const float (*gated)[WIDTH]) {
      auto* const into = hidden.at(expert, first, panel * L);
      const int64_t left = hidden.inputs - panel * L;
      for (int64_t row = 0; row < count; ++row) {
        const Vec gate = Vec::loadu(gated[row]), up = Vec::loadu(gated[row] + L);
        store(into + Method::offset(row, 0, hidden.inputs), silu(gate, typename Method::Number()) * up, left);
      }
    };
    multiply_panels(rows, w13, open_gates);
    for_stored_type(x.scalar_type(), [&](auto number) {
      using Stored = decltype(number);
      multiply_panels(
          hidden, w2, StoreOutputs<Stored, Method>{outputs.mutable_data_ptr<Stored>(), outputs.size(1), hidden});
    });
  });
  return outputs;
}

}  // namespace mixtray
