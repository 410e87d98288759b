// Rows times panels by vectors: each row's sums are added in the order of the inputs, whatever rows are beside it.
#pragma once

#include "panels.h"

namespace mixtray {

// In fp32; weights in bfloat16 are converted as they are read.
template <typename Stored>
struct Floats {
  using Number = float;
  using Weight = Stored;
  static constexpr int TOGETHER = 1;

  static Vec weights(const Weight* from) { return load(from); }
  static Vec input(const Number* from) { return Vec(*from); }
  static Vec add(Vec x, Vec weights, Vec sum) { return at::vec::fmadd(x, weights, sum); }
};

#ifdef __AVX512BF16__
// Pairs of bfloat16 whose products are added up in fp32 by one instruction.
struct Pairs {
  using Number = c10::BFloat16;
  using Weight = c10::BFloat16;
  static constexpr int TOGETHER = 2;

  static __m512bh weights(const Weight* from) { return (__m512bh)_mm512_loadu_si512(from); }
  static __m512bh input(const Number* from) {
    int32_t pair;
    std::memcpy(&pair, from, sizeof(pair));
    return (__m512bh)_mm512_set1_epi32(pair);
  }
  static Vec add(__m512bh x, __m512bh weights, Vec sum) { return _mm512_dpbf16_ps(sum, x, weights); }
};
#endif

template <typename Step>
struct ByVectors : Step {
  using typename Step::Number;
  using typename Step::Weight;
  using Sum = float;
  static constexpr int ROWS = L >= 16 ? 12 : 6;  // their sums fill the registers
  static constexpr int MULTIPLE = 1;

  static int64_t offset(int64_t row, int64_t feature, int64_t inputs) { return row * inputs + feature; }

  static void add_up(
      const Number* rows, int64_t count, const Weight* panel, int64_t inputs, bool, float (*sums)[WIDTH]) {
    add_up_some<ROWS>(rows, count, panel, inputs, sums);
  }

 private:
  template <int R>
  static void add_up_some(
      const Number* rows, int64_t count, const Weight* panel, int64_t inputs, float (*sums)[WIDTH]) {
    if (count == R) {
      add_up_rows<R>(rows, panel, inputs, sums);
    } else if constexpr (R > 1) {
      add_up_some<R - 1>(rows, count, panel, inputs, sums);
    }
  }

  template <int R>
  static void add_up_rows(const Number* rows, const Weight* panel, int64_t inputs, float (*sums)[WIDTH]) {
    constexpr int64_t HALF = L * Step::TOGETHER;
    Vec of_rows[R][2];
    const Number* row[R];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) row[r] = rows + r * inputs, of_rows[r][0] = of_rows[r][1] = Vec(0);
    for (int64_t i = 0; i < inputs; i += Step::TOGETHER, panel += 2 * HALF) {
      fetch_ahead(panel, 2 * HALF * sizeof(Weight));
      const auto left = Step::weights(panel), right = Step::weights(panel + HALF);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const auto x = Step::input(row[r] + i);
        of_rows[r][0] = Step::add(x, left, of_rows[r][0]);
        of_rows[r][1] = Step::add(x, right, of_rows[r][1]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) of_rows[r][0].store(sums[r]), of_rows[r][1].store(sums[r] + L);
  }
};

}  // namespace mixtray
