// One block of a row's keys and values for the query heads of a group: scores, softmax so far, weighted sum.
//
// hd head dimension (width); a block's places may lie anywhere: `at` says where each begins in keys and values.

#pragma once

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace {

using Vec = at::vec::Vectorized<float>;

constexpr int64_t LANES = Vec::size();
constexpr int64_t BLOCK = 32;  // places between two corrections of the softmax
constexpr int64_t SUMS = 8;  // vectors summed up side by side: an addition takes 4 cycles, 2 begin in each
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

// From memory into the caches, while something else is computed.
template <typename T>
inline void fetch(const T* from, int64_t count) {
  for (int64_t i = 0; i < count; i += LINE / sizeof(T)) __builtin_prefetch(from + i);
}

// Scores [HEADS, BLOCK] of KEYS places, whose keys begin at `at` in `keys`; queries [HEADS, stride].
template <int HEADS, int KEYS, typename T>
inline void score(
    const float* queries, int64_t stride, const T* keys, const int64_t* at, int64_t width, float* scores) {
  Vec sums[HEADS][KEYS];
  for (int head = 0; head < HEADS; ++head)
    for (int key = 0; key < KEYS; ++key) sums[head][key] = Vec(0.0f);
  const auto add = [&](int64_t feature, auto... count) {
    Vec of_keys[KEYS];
    for (int key = 0; key < KEYS; ++key) of_keys[key] = as_floats(keys + at[key] + feature, count...);
    for (int head = 0; head < HEADS; ++head) {
      const Vec query = Vec::loadu(queries + head * stride + feature);
      for (int key = 0; key < KEYS; ++key)
        sums[head][key] = at::vec::fmadd(query, of_keys[key], sums[head][key]);
    }
  };
  int64_t feature = 0;
  for (; feature + LANES <= width; feature += LANES) add(feature);
  if (feature < width) add(feature, width - feature);
  for (int head = 0; head < HEADS; ++head)
    for (int key = 0; key < KEYS; ++key) scores[head * BLOCK + key] = sum_of(sums[head][key]);
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

// One block of places for HEADS query heads. `scores` [HEADS, BLOCK] is memory to work in.
template <int HEADS, typename T>
void attend_block(
    const float* queries, int64_t stride, const T* keys, const T* values, const int64_t* at, int64_t places,
    int64_t width, float* scores, Softmax sum) {
  constexpr int KEYS = SUMS / HEADS;
  int64_t place = 0;
  for (; place + KEYS <= places; place += KEYS) {
    for (int key = 0; key < KEYS; ++key) fetch(values + at[place + key], width);
    score<HEADS, KEYS>(queries, stride, keys, at + place, width, scores + place);
  }
  for (; place < places; ++place) score<HEADS, 1>(queries, stride, keys, at + place, width, scores + place);

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

  constexpr int VECS = SUMS / HEADS;
  int64_t feature = 0;
  for (; feature + VECS * LANES <= width; feature += VECS * LANES)
    mix<HEADS, VECS>(scores, decays, values + feature, at, places, sum.mixed + feature, stride);
  for (; feature + LANES <= width; feature += LANES)
    mix<HEADS, 1>(scores, decays, values + feature, at, places, sum.mixed + feature, stride);
  if (feature < width)
    mix<HEADS, 1>(scores, decays, values + feature, at, places, sum.mixed + feature, stride, width - feature);
}

}  // namespace
