// RMSNorm of a sum: see model/kernels/norm.py.
#include "vectors.h"

namespace mixtray {

std::tuple<at::Tensor, at::Tensor> add_norm(
    const at::Tensor& x, const std::optional<at::Tensor>& update, const at::Tensor& weight, double eps) {
  const auto given = x.contiguous();
  const auto added = update ? update->contiguous() : given;
  auto total = update ? at::empty_like(given) : given;
  auto normed = at::empty_like(given);
  const int64_t width = given.size(1);
  for_stored_type(given.scalar_type(), [&](auto number) {
    using scalar_t = decltype(number);
    const auto* of_x = given.const_data_ptr<scalar_t>();
    const auto* of_update = added.const_data_ptr<scalar_t>();
    const auto* scale = weight.const_data_ptr<scalar_t>();
    auto* of_total = update ? total.mutable_data_ptr<scalar_t>() : nullptr;
    auto* of_normed = normed.mutable_data_ptr<scalar_t>();
    for_tokens(given.size(0), width, [&](int64_t first, int64_t last) {
      std::vector<float> exact(width + L);
      for (int64_t token = first; token < last; ++token) {
        const int64_t at = token * width;
        Vec squares(0);
        for (int64_t i = 0; i < width; i += L) {
          Vec sum = load(of_x + at + i, width - i);
          if (of_total) {
            sum = rounded(sum + load(of_update + at + i, width - i), number);
            store(of_total + at + i, sum, width - i);
          }
          sum.store(exact.data() + i);
          squares = at::vec::fmadd(sum, sum, squares);
        }
        float parts[L], of_squares = 0;
        squares.store(parts);
        for (const float part : parts) of_squares += part;
        const Vec scaled_by(1 / std::sqrt(of_squares / float(width) + float(eps)));
        for (int64_t i = 0; i < width; i += L) {
          const Vec normal = rounded(Vec::loadu(exact.data() + i) * scaled_by, number);
          store(of_normed + at + i, normal * load(scale + i, width - i), width - i);
        }
      }
    });
  });
  return {total, normed};
}

}  // namespace mixtray
