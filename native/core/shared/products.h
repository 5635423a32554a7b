// Products of a few rows with a weight matrix, both in a memory order that is made for them. Every element is summed
// in an order that depends on the matrix alone: neither on which rows go with it, nor on how the work is cut.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ggml.h"
#include "shared/panel-layout.h"

namespace inward {

// Columns (of the sum) after which a partial sum is added to the result: shorter chains round less, and the pieces
// stay in the cache.
constexpr int64_t SUM_BLOCK = 256;

// Memory that will be wanted next. A kernel asks for a line of each panel after every `every` of its steps, so that
// it is near when its turn comes: panels end before a processor sees by itself that they are streams.
struct wanted_next {
    const uint8_t * at;
    int64_t         apart;  // bytes from one panel to the next
    int64_t         every;  // 1 or more
};

// C [rows x panels] (+)= X W: x is [k][rows], each panel [k][PANEL].
using product_kernel = void (*)(const float * x, const float * w, int64_t k, int64_t panel_stride, float * c,
                                int64_t ldc, bool add, const wanted_next & next);
// The same with panels whose weights lie as in the file.
using few_rows_kernel = void (*)(const float * x, const uint8_t * w, int64_t k, int64_t panel_bytes, float * c,
                                 int64_t ldc, bool add);

constexpr int64_t FEW_ROWS = 2;

// What reads weights of one type.
struct panel_kernels {
    ggml_type       type;
    void         (* decode)(const uint8_t * from, int64_t k, float * to);  // of one panel, to [k][PANEL]
    few_rows_kernel few[FEW_ROWS][2];  // [rows - 1][one panel, few_panels of them]
};

struct product_kernels {
    const char *          name;  // avx512, avx2, plain
    int                   most_rows, most_panels;
    product_kernel        of[12][2];             // [rows - 1][panels - 1]
    int                   few_panels[FEW_ROWS];  // at once, of as many rows
    const panel_kernels * panels;                // of all types that layout_of() knows
    // to [k][rows] = factor * from [rows][k], whose rows are `ld` apart; no more than 16. Leaves anything in the three
    // floats behind `to`.
    void (* turn)(const float * from, int64_t ld, int64_t rows, int64_t k, float factor, float * to);
    // to [k][PANEL] = PANEL numbers of each of `k` rows that are `ld` apart
    void (* copy)(const float * from, int64_t ld, int64_t k, float * to);

    const panel_kernels & of_type(ggml_type type) const;
    // Panels that one piece of work should be a multiple of.
    int64_t panels_at_once(int64_t rows) const { return rows <= FEW_ROWS ? few_panels[rows - 1] : most_panels; }
};

// The best for this processor, or none better than INWARD_KERNELS (avx512, avx2, plain) names: product-kernels.cpp.
const product_kernels & kernels_here();
// Null where this processor lacks them.
const product_kernels * kernels_named(const std::string & name);

// Zero-initialised by the system as it is touched, on large pages where there are any.
class memory_block {
public:
    memory_block() = default;
    explicit memory_block(int64_t bytes);  // throws std::bad_alloc
    ~memory_block();
    memory_block(memory_block && from) noexcept { *this = std::move(from); }
    memory_block & operator=(memory_block && from) noexcept;
    uint8_t * data() const { return at_; }

private:
    uint8_t * at_    = nullptr;
    size_t    bytes_ = 0;
};

class float_block {
public:
    float_block() = default;
    explicit float_block(int64_t floats) : block_(floats * (int64_t) sizeof(float)) {}  // throws std::bad_alloc
    float * data() const { return (float *) block_.data(); }

private:
    memory_block block_;
};

// Activations in memory of the caller's: rows in tiles of nearly equal height, each [in][rows of the tile].
class packed_rows {
public:
    // `data` has room for rows x in floats
    packed_rows(float * data, int64_t rows, int64_t in);
    void put(int64_t row, const float * values) const;
    void get(int64_t row, float * values) const;
    // Of a tile's rows `count` numbers from place `first` on, factor times those of `values`, whose rows are `ld` apart.
    void put_tile(int64_t tile, int64_t first, int64_t count, const float * values, int64_t ld,
                  float factor = 1) const;

    int64_t rows() const { return rows_; }
    int64_t in() const { return in_; }
    int64_t tiles() const { return tiles_; }
    int64_t first_row(int64_t tile) const { return rows_ * tile / tiles_; }
    int64_t height(int64_t tile) const { return first_row(tile + 1) - first_row(tile); }
    const float * tile(int64_t index) const { return data_ + first_row(index) * in_; }

private:
    float * data_;
    int64_t rows_, in_, tiles_;

    // Of the row's first number, and how far apart its numbers are.
    std::pair<float *, int64_t> place(int64_t row) const;
};

// A matrix [in, out] in panels of PANEL outputs, with its weights as in the file; the last panel is filled up with zeros.
class packed_matrix {
public:
    packed_matrix() = default;
    // `data` has room for bytes(type, in, out) zeros
    packed_matrix(uint8_t * data, ggml_type type, int64_t in, int64_t out,
                  const product_kernels & kernels = kernels_here());

    // type is one that layout_of() knows, `in` whole blocks of it
    static int64_t bytes(ggml_type type, int64_t in, int64_t out) {
        return (out + PANEL - 1) / PANEL * panel_bytes(type, in);
    }
    int64_t in() const { return in_; }
    int64_t out() const { return out_; }
    int64_t panels() const { return (out_ + PANEL - 1) / PANEL; }

    // `count` outputs' weights from `row` on, a panel's first: bytes of the matrix's encoding, or of any where it is F32.
    void put(int64_t row, int64_t count, ggml_type type, const void * bytes, std::vector<float> & scratch) const;
    // One output's, as floats.
    void get(int64_t row, float * weights) const;

    // out[rows x these panels' outputs] = x W, or that added to it, for the tiles [first_tile, last_tile); `out` begins
    // at the matrix's first output. `then` is what this thread multiplies with next, or null.
    void multiply(const packed_rows & x, int64_t first_tile, int64_t last_tile, int64_t first_panel, int64_t last_panel,
                  bool add, float * out, int64_t ld, const uint8_t * then = nullptr) const;
    const uint8_t * panel(int64_t index) const { return at(index, 0); }

private:
    uint8_t *             data_    = nullptr;
    ggml_type             type_    = GGML_TYPE_F32;
    int64_t               in_ = 0, out_ = 0, panel_bytes_ = 0;
    const product_kernels * kernels_ = nullptr;
    const panel_kernels *   panels_  = nullptr;  // of the matrix's type

    static int64_t panel_bytes(ggml_type type, int64_t in) {
        const panel_layout layout = layout_of(type);
        return in / layout.group * layout.bytes();
    }
    // Of panel `panel` from place k on.
    const uint8_t * at(int64_t panel, int64_t k) const { return data_ + panel * panel_bytes_ + panel_bytes(type_, k); }
    void multiply_few(const packed_rows & x, int64_t tile, int64_t first_panel, int64_t last_panel, bool add, float * out,
                      int64_t ld) const;
};

}  // namespace inward
