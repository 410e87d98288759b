// New keys and values into their places in the pages: see write_pages.py.
//
// G key/value heads, hd head dimension, P places of a page, n kept tokens. Numbers are copied as they are, so
// their type does not matter.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstring>
#include <optional>

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t BYTES_OF_A_THREAD = 1 << 16;

// The numbers of such a list, all at least 0 and below `end`; nullptr where there is no list.
const int64_t* numbers_below(int64_t end, const std::optional<Tensor>& list) {
  if (!list) return nullptr;
  STD_TORCH_CHECK(list->scalar_type() == ScalarType::Long && list->is_contiguous(), "int64, side by side");
  const auto* const numbers = static_cast<const int64_t*>(list->const_data_ptr());
  for (int64_t i = 0; i < list->numel(); ++i)
    STD_TORCH_CHECK(numbers[i] >= 0 && numbers[i] < end, "there is no number ", numbers[i]);
  return numbers;
}

// New keys or values [N, G, hd], and a layer's pages [pages, G, P, hd].
struct Copied {
  const char* from;
  char* into;
  int64_t heads, page, number, token_stride, head_stride;  // in bytes from `number` on
  int64_t vector;

  Copied(const Tensor& added, const Tensor& pages)
      : from(static_cast<const char*>(added.const_data_ptr())),
        into(static_cast<char*>(pages.mutable_data_ptr())),
        heads(pages.size(1)),
        page(pages.size(2)),
        number(pages.element_size()),
        token_stride(added.stride(0) * number),
        head_stride(added.stride(1) * number),
        vector(pages.size(3) * number) {
    STD_TORCH_CHECK(added.scalar_type() == pages.scalar_type(), "one dtype for what is written and pages");
    STD_TORCH_CHECK(added.size(1) == heads && added.size(2) == pages.size(3), "one shape of a token");
    STD_TORCH_CHECK(pages.is_contiguous() && added.stride(2) == 1, "contiguous");
  }

  void clear(int64_t opened) const {
    const int64_t bytes = heads * page * vector;
    std::memset(into + opened * bytes, 0, bytes);
  }

  void copy(int64_t token, int64_t place) const {
    char* to = into + (place / page * heads * page + place % page) * vector;
    for (int64_t head = 0; head < heads; ++head, to += page * vector)
      std::memcpy(to, from + token * token_stride + head * head_stride, vector);
  }
};

void write_pages(
    Tensor k, Tensor v, Tensor keys, Tensor values, Tensor places, std::optional<Tensor> tokens,
    std::optional<Tensor> opened) {
  const Copied of_keys(k, keys), of_values(v, values);
  const int64_t pages = keys.size(0), count = places.numel(), added = k.size(0);
  STD_TORCH_CHECK(values.size(0) == pages && values.size(2) == keys.size(2) && v.size(0) == added, "alike");
  STD_TORCH_CHECK((tokens ? tokens->numel() : added) == count, "a place for each kept token");
  const auto* const to = numbers_below(pages * keys.size(2), places);
  const auto* const kept = numbers_below(added, tokens);
  const auto* const cleared = numbers_below(pages, opened);
  for (int64_t i = 0; cleared && i < opened->numel(); ++i) {
    of_keys.clear(cleared[i]);
    of_values.clear(cleared[i]);
  }
  const int64_t bytes = of_keys.heads * (of_keys.vector + of_values.vector);
  torch::stable::parallel_for(0, count, 1 + BYTES_OF_A_THREAD / (1 + bytes), [&](int64_t from, int64_t end) {
    for (int64_t i = from; i < end; ++i) {
      of_keys.copy(kept ? kept[i] : i, to[i]);
      of_values.copy(kept ? kept[i] : i, to[i]);
    }
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(mixtray, m) {
  m.def(
      "write_pages(Tensor k, Tensor v, Tensor(a!) keys, Tensor(b!) values, Tensor places, Tensor? tokens,"
      " Tensor? opened) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(mixtray, CPU, m) { m.impl("write_pages", TORCH_BOX(&write_pages)); }
