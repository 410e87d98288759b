// Rotary position embeddings: see model/kernels/rotation.py.
#include "vectors.h"

namespace mixtray {

std::tuple<at::Tensor, at::Tensor> rotate(
    const at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin, int64_t heads, int64_t kv_heads) {
  const auto given = qkv.contiguous(), cosines = cos.contiguous(), sines = sin.contiguous();
  const int64_t tokens = given.size(0), width = given.size(2), half = width / 2;
  auto q = at::empty({tokens, heads, width}, given.options());
  auto k = at::empty({tokens, kv_heads, width}, given.options());
  for_stored_type(given.scalar_type(), [&](auto number) {
    using scalar_t = decltype(number);
    const auto* of_qkv = given.const_data_ptr<scalar_t>();
    const auto* of_cos = cosines.const_data_ptr<scalar_t>();
    const auto* of_sin = sines.const_data_ptr<scalar_t>();
    auto* of_q = q.mutable_data_ptr<scalar_t>();
    auto* of_k = k.mutable_data_ptr<scalar_t>();
    for_tokens(tokens, (heads + kv_heads) * width, [&](int64_t first, int64_t last) {
      for (int64_t token = first; token < last; ++token) {
        // Both halves turn by the same angles; the sines of the left half are negative, so the right half's are read.
        const auto* turn_cos = of_cos + token * width + half;
        const auto* turn_sin = of_sin + token * width + half;
        for (int64_t head = 0; head < heads + kv_heads; ++head) {
          const auto* left = of_qkv + (token * (heads + 2 * kv_heads) + head) * width;
          const auto* right = left + half;
          auto* turned = head < heads ? of_q + (token * heads + head) * width
                                      : of_k + (token * kv_heads + head - heads) * width;
          for (int64_t i = 0; i < half; i += L) {
            const int64_t count = half - i;
            const Vec l = load(left + i, count), r = load(right + i, count);
            const Vec c = load(turn_cos + i, count), s = load(turn_sin + i, count);
            store(turned + i, l * c - r * s, count);
            store(turned + half + i, r * c + l * s, count);
          }
        }
      }
    });
  });
  return {q, k};
}

}  // namespace mixtray
