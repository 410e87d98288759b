// From router logits to the order in which experts compute, by a counting sort: see model/kernels/route.py.
#include "tokens.h"

namespace mixtray {

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> route(
    const at::Tensor& router_logits, int64_t num_chosen) {
  const auto given = router_logits.contiguous();
  const int64_t tokens = given.size(0), experts = given.size(1), K = num_chosen;
  auto weights = at::empty({tokens, K}, given.options().dtype(at::kFloat));
  auto chosen = at::empty({tokens, K}, given.options().dtype(at::kLong));
  auto places = at::empty_like(chosen);
  auto order = at::empty({tokens * K}, chosen.options());
  auto ends = at::empty({experts}, chosen.options().dtype(at::kInt));
  auto* of_weights = weights.mutable_data_ptr<float>();
  auto* of_chosen = chosen.mutable_data_ptr<int64_t>();
  auto* of_places = places.mutable_data_ptr<int64_t>();
  auto* of_order = order.mutable_data_ptr<int64_t>();
  auto* of_ends = ends.mutable_data_ptr<int32_t>();
  std::vector<int64_t> next(experts + 1, 0);  // first how many assignments an expert has, later where its next one goes
  for_stored_type(given.scalar_type(), [&](auto number) {
    using scalar_t = decltype(number);
    const auto* logits = given.const_data_ptr<scalar_t>();
    // What is not a number is highest, as in torch's sort; of equals the first is chosen.
    const auto key = [](float x) { return std::isnan(x) ? std::numeric_limits<float>::infinity() : x; };
    std::vector<char> taken(experts);
    for (int64_t token = 0; token < tokens; ++token) {
      const auto* of_token = logits + token * experts;
      std::fill(taken.begin(), taken.end(), 0);
      float total = 0;
      for (int64_t k = 0; k < K; ++k) {
        int64_t best = -1;
        for (int64_t e = 0; e < experts; ++e) {
          if (!taken[e] && (best < 0 || key(float(of_token[e])) > key(float(of_token[best])))) best = e;
        }
        taken[best] = 1;
        next[best + 1] += 1;
        of_chosen[token * K + k] = best;
        const float share = std::exp(float(of_token[best]) - float(of_token[of_chosen[token * K]]));
        of_weights[token * K + k] = share;
        total += share;
      }
      for (int64_t k = 0; k < K; ++k) of_weights[token * K + k] /= total;
    }
  });
  for (int64_t e = 0; e < experts; ++e) {
    next[e + 1] += next[e];
    of_ends[e] = static_cast<int32_t>(next[e + 1]);
  }
  for (int64_t i = 0; i < tokens * K; ++i) {
    const int64_t place = next[of_chosen[i]]++;
    of_places[i] = place;
    of_order[place] = i / K;
  }
  return {weights, chosen, order, places, ends};
}

}  // namespace mixtray
