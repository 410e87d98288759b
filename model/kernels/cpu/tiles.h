// Rows times panels by AMX, the matrix units of newer Xeons: Intel's 64 and IA-32 Architectures Software Developer's
// Manual, volume 1, chapter 18. A tile has 16 rows of 64 bytes: 32 inputs in bfloat16, 64 in 8 bits.
#pragma once

#include "panels.h"

#ifdef __AMX_BF16__
#include <ATen/cpu/Utils.h>
#endif

namespace mixtray {

// Whether the processor has tiles, and the system lets this process use them.
inline bool has_tiles() {
#ifdef __AMX_BF16__
  static const bool allowed = at::cpu::init_amx();
  return allowed;
#else
  return false;
#endif
}

#ifdef __AMX_BF16__
#define MIXTRAY_ADD_UP(sums, rows, weights)                \
  if constexpr (std::is_same_v<Stored, c10::BFloat16>) { \
    _tile_dpbf16ps(sums, rows, weights);                 \
  } else {                                               \
    _tile_dpbssd(sums, rows, weights);                   \
  }

// Products of bfloat16, added up in fp32, or of 8 bits, added up in 32. While it lives, its thread's tiles are set up.
template <typename Stored>
struct Tiles {
  using Number = Stored;
  using Weight = Stored;
  using Sum = std::conditional_t<std::is_same_v<Stored, c10::BFloat16>, float, int32_t>;
  static constexpr int TOGETHER = 4 / sizeof(Stored);
  static constexpr int ROWS = 32;  // two tiles of rows meet two of weights
  static constexpr int MULTIPLE = 16;

  Tiles() {
    Shape shape;
    std::fill_n(shape.bytes_of_a_row, 8, 64);
    std::fill_n(shape.rows, 8, MULTIPLE);
    asm volatile("" ::"r"(&shape) : "memory");  // GCC 12 declares that the next line reads 8 of the bytes, not 64
    _tile_loadconfig(&shape);
  }
  Tiles(const Tiles&) = delete;
  ~Tiles() { _tile_release(); }

  // Tiles lie one behind the other: those of the first 16 rows, from input to input, then those of the next.
  static int64_t offset(int64_t row, int64_t feature, int64_t inputs) {
    return row / MULTIPLE * MULTIPLE * inputs + feature / INPUTS * TILE + row % MULTIPLE * INPUTS + feature % INPUTS;
  }

  // `ahead`: these rows are the first that read the panel, so that what follows it is to be fetched, too.
  void add_up(
      const Number* rows, int64_t count, const Weight* panel, int64_t inputs, bool ahead, Sum (*sums)[WIDTH]) const {
    if (count > MULTIPLE) {
      ahead ? add_up_tiles<2, true>(rows, panel, inputs, sums) : add_up_tiles<2, false>(rows, panel, inputs, sums);
    } else {
      ahead ? add_up_tiles<1, true>(rows, panel, inputs, sums) : add_up_tiles<1, false>(rows, panel, inputs, sums);
    }
  }

 private:
  static constexpr int INPUTS = LINE / sizeof(Stored);  // of a tile's row
  static constexpr int TILE = MULTIPLE * INPUTS;

  struct Shape {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes_of_a_row[16] = {};
    uint8_t rows[16] = {};
  };

  // Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 weights.
  template <int COUNT, bool AHEAD_TOO>
  static void add_up_tiles(const Number* rows, const Weight* panel, int64_t inputs, Sum (*sums)[WIDTH]) {
    constexpr int64_t across = WIDTH * TOGETHER * sizeof(Weight), apart = WIDTH * sizeof(Sum);
    const Number* const second = rows + MULTIPLE * inputs;
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (COUNT == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t i = 0; i < inputs; i += INPUTS, panel += INPUTS * WIDTH) {
      if constexpr (AHEAD_TOO) fetch_ahead(panel, INPUTS * WIDTH * sizeof(Weight));
      _tile_loadd(4, rows + i * MULTIPLE, LINE);
      _tile_loadd(6, panel, across);
      _tile_loadd(7, panel + L * TOGETHER, across);
      MIXTRAY_ADD_UP(0, 4, 6)
      MIXTRAY_ADD_UP(1, 4, 7)
      if constexpr (COUNT == 2) {
        _tile_loadd(5, second + i * MULTIPLE, LINE);
        MIXTRAY_ADD_UP(2, 5, 6)
        MIXTRAY_ADD_UP(3, 5, 7)
      }
    }
    _tile_stored(0, sums[0], apart);
    _tile_stored(1, sums[0] + L, apart);
    if constexpr (COUNT == 2) {
      _tile_stored(2, sums[MULTIPLE], apart);
      _tile_stored(3, sums[MULTIPLE] + L, apart);
    }
  }
};
#undef MIXTRAY_ADD_UP
#endif

}  // namespace mixtray
