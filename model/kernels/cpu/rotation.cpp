// Rotary position embeddings, and new tokens into the pages of the cache: see model/kernels/rotation.py.
//
// N tokens, H query heads, G key/value heads, hd head dimension, P places of a page.
#include "vectors.h"

namespace mixtray {

// Numbers of a list that are all at least `least` and below `end`; nullptr where there is no list.
inline const int64_t* numbers_between(int64_t least, int64_t end, const std::optional<at::Tensor>& list) {
  if (!list) return nullptr;
  TORCH_CHECK(list->is_contiguous(), "a list's numbers lie side by side");
  const auto* const numbers = list->const_data_ptr<int64_t>();
  for (int64_t i = 0; i < list->numel(); ++i)
    TORCH_CHECK(numbers[i] >= least && numbers[i] < end, "there is no number ", numbers[i]);
  return numbers;
}

// A layer's pages [pages, G, P, hd] of keys or values.
template <typename Stored>
struct Pages {
  Stored* numbers;
  int64_t heads, places, width;

  void clear(int64_t page) const {
    const int64_t count = heads * places * width;
    std::memset(numbers + page * count, 0, count * sizeof(Stored));
  }
  // The vectors [G, hd] of a token.
  void set(int64_t place, const Stored* from) const {
    auto* into = numbers + (place / places * heads * places + place % places) * width;
    for (int64_t head = 0; head < heads; ++head, into += places * width, from += width)
      std::memcpy(into, from, width * sizeof(Stored));
  }
};

inline void check_pages(const at::Tensor& pages, const at::Tensor& of_keys, const at::Tensor& k) {
  TORCH_CHECK(pages.scalar_type() == k.scalar_type(), "one dtype for what is written and pages");
  TORCH_CHECK(pages.is_contiguous() && pages.sizes() == of_keys.sizes(), "pages are contiguous and alike");
  TORCH_CHECK(pages.size(1) == k.size(1) && pages.size(3) == k.size(2), "one shape of a token");
}

// With keys, values and places [N], the rotated keys and the values are stored there too, where a place is not -1;
// pages that are opened are cleared before.
std::tuple<at::Tensor, at::Tensor> rotate(
    const at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin, int64_t heads, int64_t kv_heads,
    const std::optional<at::Tensor>& keys, const std::optional<at::Tensor>& values,
    const std::optional<at::Tensor>& places, const std::optional<at::Tensor>& opened) {
  const auto given = qkv.contiguous(), cosines = cos.contiguous(), sines = sin.contiguous();
  const int64_t tokens = given.size(0), width = given.size(2), half = width / 2;
  auto q = at::empty({tokens, heads, width}, given.options());
  auto k = at::empty({tokens, kv_heads, width}, given.options());
  const int64_t *to = nullptr, *cleared = nullptr;
  if (keys) {
    TORCH_CHECK(values && places && places->numel() == tokens, "a place for each token");
    check_pages(*keys, *keys, k);
    check_pages(*values, *keys, k);
    to = numbers_between(-1, keys->size(0) * keys->size(2), places);
    cleared = numbers_between(0, keys->size(0), opened);
  }
  for_stored_type(given.scalar_type(), [&](auto number) {
    using scalar_t = decltype(number);
    const auto* of_qkv = given.const_data_ptr<scalar_t>();
    const auto* of_cos = cosines.const_data_ptr<scalar_t>();
    const auto* of_sin = sines.const_data_ptr<scalar_t>();
    auto* of_q = q.mutable_data_ptr<scalar_t>();
    auto* of_k = k.mutable_data_ptr<scalar_t>();
    const auto pages_of = [&](const std::optional<at::Tensor>& pages) {
      return Pages<scalar_t>{pages->mutable_data_ptr<scalar_t>(), kv_heads, pages->size(2), width};
    };
    for (int64_t i = 0; cleared && i < opened->numel(); ++i) {
      pages_of(keys).clear(cleared[i]);
      pages_of(values).clear(cleared[i]);
    }
    for_tokens(tokens, (heads + 2 * kv_heads) * width, [&](int64_t first, int64_t last) {
      for (int64_t token = first; token < last; ++token) {
        const auto* const of_token = of_qkv + token * (heads + 2 * kv_heads) * width;
        // Both halves turn by the same angles; the sines of the left half are negative, so the right half's are read.
        const auto* turn_cos = of_cos + token * width + half;
        const auto* turn_sin = of_sin + token * width + half;
        for (int64_t head = 0; head < heads + kv_heads; ++head) {
          const auto* left = of_token + head * width;
          const auto* right = left + half;
          auto* turned = head < heads ? of_q + (token * heads + head) * width
                                      : of_k + (token * kv_heads + head - heads) * width;
          for (int64_t i = 0; i < half; i += L) {
            const int64_t count = half - i;
            const Vec l = load(left + i, count), r = load(right + i, count);
            const Vec c = load(turn_cos + i, count), s = load(turn_sin + i, count);
            store(turned + i, l * c - r * s, count);
            store(turned + half + i, r * c + l * s, count);
          }
        }
        if (to && to[token] >= 0) {
          pages_of(keys).set(to[token], of_k + token * kv_heads * width);
          pages_of(values).set(to[token], of_token + (heads + kv_heads) * width);
        }
      }
    });
  });
  return {q, k};
}

}  // namespace mixtray
