// Products of a few rows with a weight matrix, both in a memory order that is made for them. Every element is summed
// in an order that depends on the matrix alone: neither on which rows go with it, nor on how the work is cut.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "ggml.h"

namespace inward {

// Columns that stand side by side in memory.
constexpr int64_t PANEL = 16;
// Columns (of the sum) after which a partial sum is added to the result: shorter chains round less, and the pieces
// stay in the cache.
constexpr int64_t SUM_BLOCK = 256;

// C [rows x 16 panels] (+)= X W: x is [k][rows], each panel [k][PANEL].
using product_kernel = void (*)(const float * x, const float * w, int64_t k, int64_t panel_stride, float * c,
                                int64_t ldc, bool add);

struct product_kernels {
    const char *   name;  // avx512, avx2, plain
    int            most_rows, most_panels;
    product_kernel of[12][2];  // [rows - 1][panels - 1]
};

// The best for this processor, or none better than INWARD_KERNELS (avx512, avx2, plain) names: product-kernels.cpp.
const product_kernels & kernels_here();

// Zero-initialised by the system as it is touched, on large pages where there are any.
class float_block {
public:
    float_block() = default;
    explicit float_block(int64_t floats);  // throws std::bad_alloc
    ~float_block();
    float_block(float_block && from) noexcept { *this = std::move(from); }
    float_block & operator=(float_block && from) noexcept;
    float * data() const { return at_; }

private:
    float * at_    = nullptr;
    size_t  bytes_ = 0;
};

// Activations in memory of the caller's: rows in tiles of nearly equal height, each [in][rows of the tile].
class packed_rows {
public:
    // `data` has room for rows x in floats
    packed_rows(float * data, int64_t rows, int64_t in);
    void put(int64_t row, const float * values, float factor = 1) const;

    int64_t rows() const { return rows_; }
    int64_t tiles() const { return tiles_; }
    int64_t first_row(int64_t tile) const { return rows_ * tile / tiles_; }
    const float * tile(int64_t index) const { return data_ + first_row(index) * in_; }

private:
    float * data_;
    int64_t rows_, in_, tiles_;
};

// A matrix [in, out] in panels of PANEL outputs, each [in][PANEL]; the last one is filled up with zeros.
class packed_matrix {
public:
    packed_matrix() = default;
    // `data` has room for floats(in, out) zeros
    packed_matrix(float * data, int64_t in, int64_t out) : data_(data), in_(in), out_(out) {}

    static int64_t floats(int64_t in, int64_t out) { return (out + PANEL - 1) / PANEL * PANEL * in; }
    int64_t in() const { return in_; }
    int64_t out() const { return out_; }
    int64_t panels() const { return (out_ + PANEL - 1) / PANEL; }

    // Output `row`'s weights, from bytes of that encoding; read back as floats.
    void put(int64_t row, ggml_type type, const void * bytes, std::vector<float> & scratch) const;
    void get(int64_t row, float * weights) const;

    // out[rows x these panels' outputs] += x W for the tiles [first_tile, last_tile); `out` begins at the matrix's
    // first output.
    void add_product(const packed_rows & x, int64_t first_tile, int64_t last_tile, int64_t first_panel,
                     int64_t last_panel, float * out, int64_t ld) const;

private:
    float * data_ = nullptr;
    int64_t in_ = 0, out_ = 0;
};

}  // namespace inward
