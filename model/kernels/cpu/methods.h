// By which method rows are multiplied by weights in panels.
#pragma once

#include "tiles.h"
#include "vector_panels.h"

namespace mixtray {

// Whether pairs of bfloat16 are multiplied without converting them to fp32.
inline bool multiplies_pairs() {
#ifdef __AVX512BF16__
  return true;
#else
  return has_tiles();
#endif
}

// Calls compute with a method, a null pointer to its type, for weights in panels: pairs by tiles if that is wanted.
template <typename Compute>
void for_method(const at::Tensor& panels, bool tiles, const Compute& compute) {
  const bool pairs = panels.scalar_type() == at::kBFloat16 && panels.size(4) == 2;
#ifdef __AMX_BF16__
  if (pairs && tiles && has_tiles()) return compute(static_cast<Tiles<c10::BFloat16>*>(nullptr));
  if (panels.scalar_type() == at::kChar && has_tiles()) return compute(static_cast<Tiles<int8_t>*>(nullptr));
#endif
#ifdef __AVX512BF16__
  if (pairs) return compute(static_cast<ByVectors<Pairs>*>(nullptr));
#endif
  TORCH_CHECK(!pairs, "weights lie in pairs, which this processor does not multiply");
  for_stored_type(panels.scalar_type(), [&](auto number) {
    compute(static_cast<ByVectors<Floats<decltype(number)>>*>(nullptr));
  });
}

}  // namespace mixtray
