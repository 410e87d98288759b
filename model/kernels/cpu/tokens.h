// What the kernels of this folder share: they compute in fp32 what is stored in fp32 or bfloat16, token by token.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

namespace mixtray {

// Calls compute with a number of the type that is stored.
template <typename Compute>
void for_stored_type(at::ScalarType dtype, const Compute& compute) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, "float32 or bfloat16, got ", dtype);
  if (dtype == at::kFloat) {
    compute(float());
  } else {
    compute(c10::BFloat16());
  }
}

// Calls compute(first, last) for ranges of tokens, on all threads where there is enough to do.
template <typename Compute>
void for_tokens(int64_t tokens, int64_t numbers_of_a_token, const Compute& compute) {
  constexpr int64_t numbers_of_a_thread = 16384;
  at::parallel_for(0, tokens, 1 + numbers_of_a_thread / (1 + numbers_of_a_token), compute);
}

}  // namespace mixtray
