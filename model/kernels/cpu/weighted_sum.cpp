// Each token's weighted sum of what its experts gave: see model/kernels/weighted_sum.py.
#include "vectors.h"

namespace mixtray {

at::Tensor weighted_sum(const at::Tensor& outputs, const at::Tensor& places, const at::Tensor& weights) {
  const auto given = outputs.contiguous(), where = places.contiguous(), gates = weights.contiguous();
  const int64_t tokens = where.size(0), K = where.size(1), width = given.size(1);
  auto mixed = at::empty({tokens, width}, given.options());
  const auto* of_places = where.const_data_ptr<int64_t>();
  const auto* of_gates = gates.const_data_ptr<float>();
  for_stored_type(given.scalar_type(), [&](auto number) {
    using scalar_t = decltype(number);
    const auto* of_given = given.const_data_ptr<scalar_t>();
    auto* of_mixed = mixed.mutable_data_ptr<scalar_t>();
    for_tokens(tokens, K * width, [&](int64_t first, int64_t last) {
      for (int64_t token = first; token < last; ++token) {
        for (int64_t i = 0; i < width; i += L) {
          Vec total(0);
          for (int64_t k = 0; k < K; ++k) {
            const auto* output = of_given + of_places[token * K + k] * width + i;
            total = at::vec::fmadd(Vec(of_gates[token * K + k]), load(output, width - i), total);
          }
          store(of_mixed + token * width + i, total, width - i);
        }
      }
    });
  });
  return mixed;
}

}  // namespace mixtray
