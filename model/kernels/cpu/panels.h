// Rows times weights that lie in panels: of every few input features that lie together, the weights of 2 L output
// features side by side, where L numbers of fp32 fill a vector. A panel is read once for all rows of a block, which
// stay in the cache.
//
// A method (vector_panels.h, tiles.h) says how rows meet a panel: the number types of rows and weights, how many
// inputs lie together, how many rows it multiplies at a time (ROWS, in multiples of MULTIPLE), where a row's numbers
// are (offset), and add_up, which multiplies.
#pragma once

#include <ATen/cpu/vec/functional.h>

#include <atomic>

#include "vectors.h"

namespace mixtray {

constexpr int WIDTH = 2 * L;                   // output features of a panel
constexpr int64_t BYTES_OF_A_BLOCK = 1 << 19;  // of rows, which should stay in a core's second cache
constexpr int64_t BYTES_AT_A_TIME = 1 << 18;   // of panels that a thread takes
constexpr int64_t LINE = 64;                   // bytes of a line of the caches
constexpr int64_t AHEAD = L >= 16 ? 4096 : 1024;  // bytes that weights are fetched ahead
constexpr int64_t FAR_AHEAD = L >= 16 ? 32768 : 0;  // and, if not 0, first of all into the second cache

inline void fetch_ahead(const void* weights, int64_t bytes) {
  const char* const first = static_cast<const char*>(weights);
  for (int64_t at = 0; at < bytes; at += LINE) {
    if constexpr (FAR_AHEAD > 0) __builtin_prefetch(first + FAR_AHEAD + at, 0, 2);
    __builtin_prefetch(first + AHEAD + at);
  }
}

// L numbers as they are, or as many as there is room for: `count` are there, the others are zeros.
template <typename Stored>
void copy_some(Stored* into, int64_t room, const Stored* from, int64_t count) {
  if (count >= L) {
    std::memcpy(into, from, L * sizeof(Stored));
  } else {
    std::fill_n(into, std::min<int64_t>(L, room), Stored(0));
    std::copy_n(from, std::max<int64_t>(count, 0), into);
  }
}

// The largest absolute value of a row.
template <typename Stored>
float largest_of(const Stored* row, int64_t width) {
  Vec most(0);
  for (int64_t i = 0; i < width; i += L) most = at::vec::maximum(most, load(row + i, width - i).abs());
  const auto larger = [](const Vec& one, const Vec& other) { return at::vec::maximum(one, other); };
  return at::vec::vec_reduce_all<float>(larger, most);
}

// Rows as a method takes them, sorted by the weight that they meet: [0, ends[0]) the first one, and so on.
template <typename Method>
struct Rows {
  using Number = typename Method::Number;
  static constexpr bool QUANTIZED = std::is_same_v<Number, int8_t>;

  std::vector<int64_t> ends, begins, places;  // of each weight's rows; each weight's first place is a multiple
  int64_t inputs;                             // as many as the weights in panels have
  std::unique_ptr<Number[]> numbers;
  std::vector<float> scales;  // by which rows in 8 bits are to be multiplied, one for each

  template <typename End>
  Rows(const End* of_ends, const at::Tensor& weights)
      : ends(of_ends, of_ends + weights.size(0)), inputs(weights.size(2) * weights.size(4)) {
    TORCH_CHECK(inputs > 0, "weights have inputs");
    int64_t place = 0;
    for (size_t e = 0; e < ends.size(); ++e) {
      begins.push_back(e ? ends[e - 1] : 0);
      places.push_back(place);
      place += (ends[e] - begins[e] + Method::MULTIPLE - 1) / Method::MULTIPLE * Method::MULTIPLE;
    }
    numbers.reset(new Number[place * inputs]);
    if (QUANTIZED) scales.resize(ends.back());
  }

  // Where L features of the row that is the i-th of a weight begin.
  Number* at(int64_t weight, int64_t i, int64_t feature) const {
    return numbers.get() + Method::offset(places[weight] + i, feature, inputs);
  }

  // Fills them with the rows of x that `tokens` names, or all, and with zeros where x has fewer features.
  // In 8 bits each row has its own scale, so what it gives does not depend on the rows beside it.
  void gather(const at::Tensor& x, const int64_t* tokens) {
    const auto given = x.contiguous();
    const int64_t width = given.size(1);
    TORCH_CHECK(tokens || ends.back() == given.size(0), "the last weight's rows end with the last row");
    TORCH_CHECK(width <= inputs && inputs - width < LINE, "rows have as many features as weights have inputs");
    for_stored_type(given.scalar_type(), [&](auto stored) {
      const auto* from = given.const_data_ptr<decltype(stored)>();
      for_tokens(ends.back(), inputs, [&](int64_t first, int64_t last) {
        size_t weight = 0;
        for (int64_t row = first; row < last; ++row) {
          while (row >= ends[weight]) ++weight;
          const auto* const of_row = from + (tokens ? tokens[row] : row) * width;
          Vec scale(1);
          if constexpr (QUANTIZED) {
            constexpr float smallest = 1e-36f;  // 127 divided by it is a number
            const float largest = std::max(largest_of(of_row, width), smallest);
            scales[row] = largest / 127;
            scale = Vec(127 / largest);
          }
          for (int64_t i = 0; i < inputs; i += L) {
            auto* const into = at(weight, row - begins[weight], i);
            if constexpr (std::is_same_v<decltype(stored), Number>) {
              copy_some(into, inputs - i, of_row + i, width - i);
            } else {
              const Vec some = i < width ? load(of_row + i, width - i) : Vec(0);
              store(into, some * scale, inputs - i);
            }
          }
        }
      });
    });
  }
};

// Of the rows that are left, in parts as even as they can be.
template <typename Method>
int64_t rows_at_a_time(int64_t left) {
  const int64_t parts = (left + Method::ROWS - 1) / Method::ROWS, even = (left + parts - 1) / parts;
  return std::min(left, (even + Method::MULTIPLE - 1) / Method::MULTIPLE * Method::MULTIPLE);
}

// The products of some rows, the first of which is the row-th of a weight, with a panel.
template <typename Method>
struct Products {
  const typename Method::Sum (*sums)[WIDTH];
  const float *of_rows, *of_panel;  // scales where rows and weights are in 8 bits

  Vec half(int64_t row, int64_t begin) const {
    if constexpr (Rows<Method>::QUANTIZED) {
      const Vec whole(_mm512_cvtepi32_ps(_mm512_load_si512(sums[row] + begin)));
      return whole * (Vec(of_rows[row]) * Vec::loadu(of_panel + begin));
    } else {
      return Vec::loadu(sums[row] + begin);
    }
  }
  Vec left(int64_t row) const { return half(row, 0); }
  Vec right(int64_t row) const { return half(row, L); }
};

// take(panel, weight, first row of the weight, rows, products) gets the products with the weights
// [E, P, inputs / together, WIDTH, together], whose outputs have scales [E, P * WIDTH] if they are in 8 bits. A thread
// takes the next few panels of a weight when it is done with others, so that it does not matter which weight has more
// rows, or which core is slower.
template <typename Method, typename Take>
void multiply_panels(
    const Rows<Method>& rows, const at::Tensor& weights, const std::optional<at::Tensor>& scales, const Take& take) {
  TORCH_CHECK(!Rows<Method>::QUANTIZED || scales, "weights in 8 bits have scales");
  const float* const of_outputs = scales ? scales->const_data_ptr<float>() : nullptr;
  const auto* of_weights = weights.const_data_ptr<typename Method::Weight>();
  const int64_t E = weights.size(0), P = weights.size(1), inputs = rows.inputs, threads = at::get_num_threads();
  const int64_t fit = BYTES_OF_A_BLOCK / (inputs * sizeof(typename Method::Number)) / Method::ROWS;
  const int64_t most = std::max<int64_t>(fit, 4) * Method::ROWS;
  const int64_t panel_bytes = inputs * WIDTH * sizeof(typename Method::Weight);
  const int64_t few = std::clamp<int64_t>(E * P / (8 * threads), 1, 1 + BYTES_AT_A_TIME / panel_bytes);
  const int64_t of_a_weight = (P + few - 1) / few;
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    const Method method;
    alignas(LINE) typename Method::Sum sums[Method::ROWS][WIDTH];
    for (int64_t taken; (taken = next++) < E * of_a_weight;) {
      const int64_t e = taken / of_a_weight, count = rows.ends[e] - rows.begins[e];
      const int64_t first_panel = taken % of_a_weight * few, last_panel = std::min(P, first_panel + few);
      for (int64_t first = 0; first < count; first += most) {
        const int64_t last = std::min(count, first + most);
        for (int64_t panel = first_panel; panel < last_panel; ++panel) {
          const auto* const of_panel = of_weights + (e * P + panel) * inputs * WIDTH;
          for (int64_t row = first; row < last;) {
            const int64_t some = rows_at_a_time<Method>(last - row);
            method.add_up(rows.at(e, row, 0), some, of_panel, inputs, row == 0, sums);
            const float* const of_rows = rows.scales.data() + rows.begins[e] + row;
            take(panel, e, row, some, Products<Method>{sums, of_rows, of_outputs + (e * P + panel) * WIDTH});
            row += some;
          }
        }
      }
    }
  });
}

// Stores a panel's output features into [n, outputs], whose last panel may be filled up with others.
template <typename Stored, typename Method>
struct StoreOutputs {
  Stored* into;
  int64_t outputs;
  const Rows<Method>& rows;
  void operator()(int64_t panel, int64_t weight, int64_t first, int64_t count, Products<Method> products) const {
    auto* at = into + (rows.begins[weight] + first) * outputs + panel * WIDTH;
    const int64_t left = outputs - panel * WIDTH;
    for (int64_t row = 0; row < count; ++row, at += outputs) {
      store(at, products.left(row), left);
      store(at + L, products.right(row), left - L);
    }
  }
};

}  // namespace mixtray
