// Vectors of fp32 numbers that are stored in fp32 or bfloat16.
#pragma once

#include <ATen/cpu/vec/vec.h>

#include <cstring>

#include "tokens.h"

namespace mixtray {

using Vec = at::vec::Vectorized<float>;
constexpr int L = Vec::size();

inline Vec load(const float* from) {
  return Vec::loadu(from);
}
inline Vec load(const c10::BFloat16* from) {
  Vec loaded;
  at::vec::load_fp32_from_bf16(from, loaded);
  return loaded;
}
template <typename Stored>
inline Vec load(const Stored* from, int64_t count) {
  if (count >= L) return load(from);
  Stored some[L] = {};
  std::copy_n(from, count, some);
  return load(some);
}

inline void store(float* into, Vec x) {
  x.store(into);
}
inline void store(c10::BFloat16* into, Vec x) {
#ifdef __AVX512BF16__
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(into), (__m256i)_mm512_cvtneps_pbh(x));
#else
  c10::BFloat16 twice[2 * L];
  at::vec::convert_float_bfloat16(x, x).store(twice);
  std::memcpy(into, twice, sizeof(twice) / 2);
#endif
}
#ifdef CPU_CAPABILITY_AVX512
// Rounded to whole numbers.
inline void store(int8_t* into, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(into), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
}
#endif
template <typename Stored>
inline void store(Stored* into, Vec x, int64_t count) {
  if (count >= L) return store(into, x);
  Stored some[L];
  store(some, x);
  std::copy_n(some, std::max<int64_t>(count, 0), into);
}

// What storing x and loading it again gives.
inline Vec rounded(Vec x, float) {
  return x;
}
inline Vec rounded(Vec x, c10::BFloat16) {
  c10::BFloat16 stored[L];
  store(stored, x);
  return load(stored);
}

inline Vec silu(Vec x, float) {
  return x / (Vec(1) + x.neg().exp());
}
// As exact as it matters where the result is stored in bfloat16 or 8 bits.
template <typename Stored>
inline Vec silu(Vec x, Stored) {
  const Vec divisor = Vec(1) + x.neg().exp_u20();
#ifdef CPU_CAPABILITY_AVX512
  return x * Vec(_mm512_rcp14_ps(divisor));
#else
  return x / divisor;
#endif
}

}  // namespace mixtray
