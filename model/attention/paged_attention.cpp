// Attention of decoding rows to their pages of the cache on a CPU, where they lie, with log-sum-exp.
//
// R rows with one new token each, H query heads, G key/value heads, hd head dimension, P places of a page.
// A row's places are cut into parts, which are computed at the same time and then merged. The cuts depend on
// the row's length alone, so a row's result has the same bits beside any other rows and on any number of
// threads. Online softmax: Milakov and Gimelshein 2018 (arXiv 1805.02867); over blocks of keys:
// FlashAttention, arXiv 2205.14135; in parts: Flash-Decoding.

#include "attend_block.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <tuple>
#include <vector>

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int64_t PART = 256;  // places of a part
constexpr int64_t FEWEST = 1 << 15;  // multiplications that are worth a thread

// Places begin up to end of one row, for the query heads of one key/value head.
struct Part {
  int64_t row, kv_head, begin, end;
  int64_t whole;  // the number of the row and key/value head among all of them
};

// All parts of one row and key/value head, which lie behind each other.
struct Whole {
  int64_t first, count;
};

template <typename T>
struct PagedAttention {
  const T *q, *keys, *values;
  const int32_t* table;
  T* attended;
  float* lse;
  int64_t rows, heads, kv_heads, width, page, table_stride;
  int64_t group = heads / kv_heads, stride = (width + LANES - 1) / LANES * LANES;
  int64_t floats = group * (stride + 2);  // of a Softmax
  float scale = 1 / std::sqrt(static_cast<float>(width));

  Softmax softmax(float* at) const { return {at, at + group * stride, at + group * (stride + 1)}; }

  void read(const Part& part, float* queries, float* scores, Softmax sum) const {
    const T* const own = q + (part.row * heads + part.kv_head * group) * width;
    for (int64_t head = 0; head < group; ++head)
      for (int64_t i = 0; i < width; ++i) queries[head * stride + i] = scale * float(own[head * width + i]);
    std::fill(sum.mixed, sum.mixed + group * stride, 0.0f);
    std::fill(sum.highest, sum.highest + group, LOWEST);
    std::fill(sum.total, sum.total + group, 0.0f);
    int64_t at[BLOCK];
    for (int64_t first = part.begin; first < part.end; first += BLOCK) {
      const int64_t places = std::min(BLOCK, part.end - first);
      for (int64_t i = 0; i < places;) {
        const int64_t within = (first + i) % page;
        const int64_t number = table[part.row * table_stride + (first + i) / page];
        const int64_t start = ((number * kv_heads + part.kv_head) * page + within) * width;
        const int64_t run = std::min(places - i, page - within);
        for (int64_t j = 0; j < run; ++j) at[i++] = start + j * width;
      }
      std::fill(at + places, at + BLOCK, at[places - 1]);  // scored with others, but weighs nothing
      for (int64_t head = 0; head < group;) {
        const Softmax from = {sum.mixed + head * stride, sum.highest + head, sum.total + head};
        const auto attend = [&](auto heads_at_once) {
          constexpr int HEADS = decltype(heads_at_once)::value;
          attend_block<HEADS>(queries + head * stride, stride, keys, values, at, places, width, scores, from);
          head += HEADS;
        };
        if (group - head >= 4) attend(std::integral_constant<int, 4>());
        else if (group - head >= 2) attend(std::integral_constant<int, 2>());
        else attend(std::integral_constant<int, 1>());
      }
    }
  }

  // Merges the parts of a whole, `floats` apart.
  void finish(const Part& part, float* parts, int64_t count) const {
    const Softmax sum = softmax(parts);
    for (int64_t head = 0; head < group; ++head) {
      float* const mixed = sum.mixed + head * stride;
      for (int64_t i = 1; i < count; ++i) {
        const Softmax other = softmax(parts + i * floats);
        const bool rises = !(other.highest[head] <= sum.highest[head]);  // NaN, too, is passed on
        const float risen = rises ? other.highest[head] : sum.highest[head];
        const float decay = std::exp(sum.highest[head] - risen);
        const float share = std::exp(other.highest[head] - risen);
        for (int64_t j = 0; j < width; ++j)
          mixed[j] = mixed[j] * decay + other.mixed[head * stride + j] * share;
        sum.total[head] = sum.total[head] * decay + other.total[head] * share;
        sum.highest[head] = risen;
      }
      const int64_t at = part.row * heads + part.kv_head * group + head;
      const float share = 1 / sum.total[head];
      for (int64_t i = 0; i < width; ++i) attended[at * width + i] = static_cast<T>(mixed[i] * share);
      lse[at] = sum.highest[head] + std::log(sum.total[head]);
    }
  }

  void run(const int32_t* begins, int64_t begins_stride, const int32_t* ends, int64_t ends_stride) const {
    std::vector<Part> parts;
    std::vector<Whole> wholes;
    int64_t work = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t begin = begins[row * begins_stride], end = ends[row * ends_stride];
      STD_TORCH_CHECK(begin < end, "each row reads one place at least");
      work += (end - begin) * kv_heads;
      for (int64_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
        wholes.push_back({static_cast<int64_t>(parts.size()), (end - begin + PART - 1) / PART});
        const int64_t whole = wholes.size() - 1;
        for (int64_t first = begin; first < end; first += PART)
          parts.push_back({row, kv_head, first, std::min(first + PART, end), whole});
      }
    }
    const int64_t count = parts.size();
    const int64_t threads = std::clamp<int64_t>(
        work * group * width / FEWEST, 1, static_cast<int64_t>(torch::stable::get_num_threads()));
    const std::unique_ptr<float[]> sums(new float[count * floats]);
    const std::unique_ptr<std::atomic<int64_t>[]> read_parts(new std::atomic<int64_t>[wholes.size()]());
    // A thread takes the next few parts when it is done with others, so that it does not matter which core is
    // slower. The thread that reads the last part of a whole finishes it.
    const int64_t few = std::max<int64_t>(count / (16 * threads), 1);
    std::atomic<int64_t> next = 0;
    torch::stable::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
      const std::unique_ptr<float[]> memory(new float[group * (stride + BLOCK)]());
      for (int64_t taken; (taken = next.fetch_add(few)) < count;) {
        for (int64_t i = taken; i < std::min(count, taken + few); ++i) {
          read(parts[i], memory.get(), memory.get() + group * stride, softmax(sums.get() + i * floats));
          const Whole& whole = wholes[parts[i].whole];
          if (++read_parts[parts[i].whole] == whole.count)
            finish(parts[i], sums.get() + whole.first * floats, whole.count);
        }
      }
    });
  }
};

std::tuple<Tensor, Tensor> attend_pages(
    Tensor q, Tensor keys, Tensor values, Tensor table, Tensor begins, Tensor ends) {
  const auto dtype = q.scalar_type();
  STD_TORCH_CHECK(keys.scalar_type() == dtype && values.scalar_type() == dtype, "one dtype for q and pages");
  STD_TORCH_CHECK(q.is_contiguous() && keys.is_contiguous() && values.is_contiguous(), "contiguous");
  STD_TORCH_CHECK(table.stride(1) == 1, "the pages of a row lie side by side in the table");
  for (const Tensor& numbers : {table, begins, ends})
    STD_TORCH_CHECK(numbers.scalar_type() == ScalarType::Int, "int32 for the table and the bounds");
  Tensor attended = torch::stable::empty_like(q);
  Tensor lse = torch::stable::new_empty(q, {q.size(0), q.size(1)}, ScalarType::Float);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const PagedAttention<T> attention{
        static_cast<const T*>(q.data_ptr()), static_cast<const T*>(keys.data_ptr()),
        static_cast<const T*>(values.data_ptr()), static_cast<const int32_t*>(table.data_ptr()),
        static_cast<T*>(attended.data_ptr()), static_cast<float*>(lse.data_ptr()),
        q.size(0), q.size(1), keys.size(1), q.size(2), keys.size(2), table.stride(0)};
    attention.run(
        static_cast<const int32_t*>(begins.data_ptr()), begins.stride(0),
        static_cast<const int32_t*>(ends.data_ptr()), ends.stride(0));
  };
  if (dtype == ScalarType::Float) run(float());
  else if (dtype == ScalarType::BFloat16) run(c10::BFloat16());
  else if (dtype == ScalarType::Half) run(c10::Half());
  else STD_TORCH_CHECK(false, "float32, bfloat16 or float16");
  return {attended, lse};
}

}  // namespace

STABLE_TORCH_LIBRARY(mixtray, m) {
  m.def(
      "attend_pages(Tensor q, Tensor keys, Tensor values, Tensor table, Tensor begins, Tensor ends)"
      " -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(mixtray, CPU, m) { m.impl("attend_pages", TORCH_BOX(&attend_pages)); }
