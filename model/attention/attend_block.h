// One block of a row's keys and values for the query heads of a group: scores, softmax so far, weighted sum.
//
// hd head dimension (width); a block's places may lie anywhere: `at` says where each begins in keys and values.

#pragma once

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <c10/util/Unroll.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace {

using Vec = at::vec::Vectorized<float>;

constexpr int64_t LANES = Vec::size();
constexpr int64_t BLOCK = 64;  // places between two corrections of the softmax
constexpr int64_t SUMS = std::max<int64_t>(LANES, 8);  // vectors of products that are summed up together
constexpr int64_t MIXED = 4;  // vectors of features that are mixed together
constexpr int64_t LINE = 64;  // bytes that a cache reads at once
constexpr float LOWEST = -std::numeric_limits<float>::infinity();

template <typename T>
inline Vec as_floats(const T* from) {
  if constexpr (std::is_same_v<T, float>) {
    return Vec::loadu(from);
  } else {
    Vec vec;
    at::vec::load_to_float<T>(from, vec);
    return vec;
  }
}

template <typename T>
inline Vec as_floats(const T* from, int64_t count) {
  float some[LANES] = {};
  std::copy(from, from + count, some);
  return Vec::loadu(some);
}

inline float sum_of(const Vec& vec) {
  return at::vec::vec_reduce_all<float>([](const Vec& one, const Vec& other) { return one + other; }, vec);
}

// sums [SUMS] of as many vectors
inline void sums_of(const Vec* vecs, float* sums) {
#ifdef CPU_CAPABILITY_AVX512
  // Each step adds one half of the lanes of two vectors to the other half, and puts the two side by side.
  __m512 twos[8], fours[4];
  c10::ForcedUnroll<8>{}([&](auto i) {
    const __m512 one = vecs[i / 4 * 8 + i % 4], other = vecs[i / 4 * 8 + i % 4 + 4];
    twos[i] = _mm512_shuffle_f32x4(one, other, 0x44) + _mm512_shuffle_f32x4(one, other, 0xEE);
  });
  c10::ForcedUnroll<4>{}([&](auto i) {
    const __m512 one = twos[i], other = twos[i + 4];
    fours[i] = _mm512_shuffle_f32x4(one, other, 0x88) + _mm512_shuffle_f32x4(one, other, 0xDD);
  });
  const auto eights = [](__m512 one, __m512 other) {
    return _mm512_castps_pd(_mm512_unpacklo_ps(one, other) + _mm512_unpackhi_ps(one, other));
  };
  const __m512d one = eights(fours[0], fours[1]), other = eights(fours[2], fours[3]);
  const __m512d low = _mm512_unpacklo_pd(one, other), high = _mm512_unpackhi_pd(one, other);
  _mm512_storeu_ps(sums, _mm512_castpd_ps(low) + _mm512_castpd_ps(high));
#else
  c10::ForcedUnroll<SUMS>{}([&](auto i) { sums[i] = sum_of(vecs[i]); });
#endif
}

// From memory into the caches, while something else is computed.
template <typename T>
inline void fetch(const T* from, int64_t count) {
  for (int64_t i = 0; i < count; i += LINE / sizeof(T)) __builtin_prefetch(from + i);
}

// Scores [HEADS, BLOCK] of KEYS places, whose keys begin at `at` in `keys`; queries [HEADS, stride]. All loops
// are unrolled, so that the sums stay in registers.
template <int HEADS, int KEYS, typename T>
inline void score(
    const float* queries, int64_t stride, const T* keys, const int64_t* at, int64_t width, float* scores) {
  Vec sums[SUMS];
  c10::ForcedUnroll<SUMS>{}([&](auto i) { sums[i] = Vec(0.0f); });
  const auto add = [&](int64_t feature, auto... count) {
    Vec of_keys[KEYS];
    c10::ForcedUnroll<KEYS>{}([&](auto key) { of_keys[key] = as_floats(keys + at[key] + feature, count...); });
    c10::ForcedUnroll<HEADS>{}([&](auto head) {
      const Vec query = Vec::loadu(queries + head * stride + feature);
      c10::ForcedUnroll<KEYS>{}([&](auto key) {
        Vec& sum = sums[head * KEYS + key];
        sum = at::vec::fmadd(query, of_keys[key], sum);
      });
    });
  };
  int64_t feature = 0;
  for (; feature + LANES <= width; feature += LANES) add(feature);
  if (feature < width) add(feature, width - feature);
  float summed[SUMS];
  sums_of(sums, summed);
  for (int head = 0; head < HEADS; ++head) std::copy_n(summed + head * KEYS, KEYS, scores + head * BLOCK);
}

// mixed [HEADS, stride] = mixed * decays + weights [HEADS, BLOCK] @ values, in VECS vectors of features.
template <int HEADS, int VECS, typename T, typename... Count>
inline void mix(
    const float* weights, const float* decays, const T* values, const int64_t* at, int64_t places,
    float* mixed, int64_t stride, Count... count) {
  Vec sums[HEADS][VECS];
  for (int head = 0; head < HEADS; ++head)
    for (int vec = 0; vec < VECS; ++vec)
      sums[head][vec] = Vec::loadu(mixed + head * stride + vec * LANES) * Vec(decays[head]);
  for (int64_t place = 0; place < places; ++place) {
    Vec value[VECS];
    for (int vec = 0; vec < VECS; ++vec) value[vec] = as_floats(values + at[place] + vec * LANES, count...);
    for (int head = 0; head < HEADS; ++head) {
      const Vec weight(weights[head * BLOCK + place]);
      for (int vec = 0; vec < VECS; ++vec)
        sums[head][vec] = at::vec::fmadd(weight, value[vec], sums[head][vec]);
    }
  }
  for (int head = 0; head < HEADS; ++head)
    for (int vec = 0; vec < VECS; ++vec) sums[head][vec].store(mixed + head * stride + vec * LANES);
}

// What a part adds to a softmax: for each head of a group the highest score, the sum of exp(score - highest)
// and the values weighted with them, [group, stride].
struct Softmax {
  float *mixed, *highest, *total;
};

// One block of places for HEADS query heads. `at` is filled up to BLOCK with places that may be read, whose
// scores do not count. `scores` [HEADS, BLOCK] is memory to work in.
template <int HEADS, typename T>
void attend_block(
    const float* queries, int64_t stride, const T* keys, const T* values, const int64_t* at, int64_t places,
    int64_t width, float* scores, Softmax sum) {
  constexpr int KEYS = SUMS / HEADS;
  for (int64_t place = 0; place < places; place += KEYS) {
    for (int key = 0; key < KEYS; ++key) fetch(values + at[place + key], width);
    score<HEADS, KEYS>(queries, stride, keys, at + place, width, scores + place);
  }

  const int64_t filled = (places + LANES - 1) / LANES * LANES;
  float decays[HEADS];
  for (int head = 0; head < HEADS; ++head) {
    float* const of_head = scores + head * BLOCK;
    std::fill(of_head + places, of_head + filled, LOWEST);
    Vec most(sum.highest[head]);
    for (int64_t i = 0; i < filled; i += LANES) most = at::vec::maximum(most, Vec::loadu(of_head + i));
    const auto higher = [](const Vec& one, const Vec& other) { return at::vec::maximum(one, other); };
    const float risen = at::vec::vec_reduce_all<float>(higher, most);  // NaN where a score is NaN
    Vec total(0.0f);
    for (int64_t i = 0; i < filled; i += LANES) {
      const Vec weight = (Vec::loadu(of_head + i) - Vec(risen)).exp_u20();
      weight.store(of_head + i);
      total = total + weight;
    }
    decays[head] = std::exp(sum.highest[head] - risen);
    sum.total[head] = sum.total[head] * decays[head] + sum_of(total);
    sum.highest[head] = risen;
  }

  constexpr int VECS = std::min<int>(MIXED, SUMS / HEADS);
  int64_t feature = 0;
  for (; feature + VECS * LANES <= width; feature += VECS * LANES)
    mix<HEADS, VECS>(scores, decays, values + feature, at, places, sum.mixed + feature, stride);
  for (; feature + LANES <= width; feature += LANES)
    mix<HEADS, 1>(scores, decays, values + feature, at, places, sum.mixed + feature, stride);
  if (feature < width)
    mix<HEADS, 1>(scores, decays, values + feature, at, places, sum.mixed + feature, stride, width - feature);
}

}  // namespace
