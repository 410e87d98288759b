// Rows times weights that lie in panels: of every input feature, the weights of 2 L output features side by side,
// where L numbers of fp32 fill a vector. A panel is read once for all rows of a block, which stay in the cache.
#pragma once

#include "vectors.h"

namespace mixtray {

constexpr int WIDTH = 2 * L;               // output features of a panel
constexpr int ROWS = L >= 16 ? 12 : 6;     // at a time: their sums fill the registers
constexpr int64_t ROWS_OF_A_BLOCK = 120;
constexpr int64_t AHEAD = 16;              // input features whose weights are fetched ahead

// Each row's sums are added in the order of the inputs, whatever rows are beside it.
template <int R, typename Weight, typename Take>
inline void multiply_rows(const float* const* rows, const Weight* panel, int64_t inputs, int64_t first, const Take& take) {
  Vec sums[R][2];
  const float* row[R];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) row[r] = rows[r], sums[r][0] = sums[r][1] = Vec(0);
  for (int64_t i = 0; i < inputs; ++i, panel += WIDTH) {
    __builtin_prefetch(panel + AHEAD * WIDTH);
    const Vec left = load(panel), right = load(panel + L);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Vec x(row[r][i]);
      sums[r][0] = at::vec::fmadd(x, left, sums[r][0]);
      sums[r][1] = at::vec::fmadd(x, right, sums[r][1]);
    }
  }
  for (int r = 0; r < R; ++r) take(first + r, sums[r][0], sums[r][1]);
}

template <int R, typename Weight, typename Take>
inline void multiply_some(
    int64_t count, const float* const* rows, const Weight* panel, int64_t inputs, int64_t first, const Take& take) {
  if (count == R) {
    multiply_rows<R>(rows, panel, inputs, first, take);
  } else if constexpr (R > 1) {
    multiply_some<R - 1>(count, rows, panel, inputs, first, take);
  }
}

// take(row, left half, right half) gets what a panel gives for rows [first, last).
template <typename Weight, typename Take>
void multiply_panel(
    const float* const* rows, int64_t first, int64_t last, const Weight* panel, int64_t inputs, const Take& take) {
  for (int64_t parts = (last - first + ROWS - 1) / ROWS; parts > 0; --parts) {
    const int64_t count = (last - first + parts - 1) / parts;  // as even as they can be
    multiply_some<ROWS>(count, rows + first, panel, inputs, first, take);
    first += count;
  }
}

// Rows [0, ends[0]) meet the first of several weights, those up to ends[1] the second, and so on. Every thread
// computes some panels of all weights, so that it does not matter which have more rows.
template <typename Weight, typename Take>
void multiply_panels(
    const std::vector<const float*>& rows, const int32_t* ends, int64_t weights, int64_t panels, int64_t inputs,
    const Weight* of_weights, const Take& take) {
  at::parallel_for(0, panels, 1, [&](int64_t first_panel, int64_t last_panel) {
    for (int64_t weight = 0; weight < weights; ++weight) {
      for (int64_t first = weight ? ends[weight - 1] : 0; first < ends[weight]; first += ROWS_OF_A_BLOCK) {
        const int64_t last = std::min<int64_t>(ends[weight], first + ROWS_OF_A_BLOCK);
        for (int64_t panel = first_panel; panel < last_panel; ++panel) {
          multiply_panel(
              rows.data(), first, last, of_weights + (weight * panels + panel) * inputs * WIDTH, inputs,
              [&](int64_t row, Vec left, Vec right) { take(panel, row, left, right); });
        }
      }
    }
  });
}

inline std::vector<const float*> rows_of(const at::Tensor& x) {
  std::vector<const float*> rows(x.size(0));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = x.const_data_ptr<float>() + i * x.size(1);
  return rows;
}

// Stores a panel's output features into [n, outputs], whose last panel may be filled up with others.
template <typename Stored>
struct StoreOutputs {
  Stored* into;
  int64_t outputs;
  void operator()(int64_t panel, int64_t row, Vec left, Vec right) const {
    auto* at = into + row * outputs + panel * WIDTH;
    const int64_t count = outputs - panel * WIDTH;
    store(at, left, count);
    store(at + L, right, count - L);
  }
};

}  // namespace mixtray
