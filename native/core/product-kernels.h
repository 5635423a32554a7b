// Products of a few rows with a weight matrix whose memory order is made for them. Every element is summed in an order that depends on
// the matrix alone: neither on which rows go with it, nor on how the work is cut.
#pragma once
#include <cstdint>

namespace inward {

// Columns that stand side by side in memory.
constexpr int64_t PANEL = 16;
// Columns (of the sum) after which a partial sum is added to the result: shorter chains round less, and the pieces stay in the cache.
constexpr int64_t SUM_BLOCK = 256;

// C [rows x 16 panels] (+)= X W: x is [k][rows], each panel [k][PANEL].
using product_kernel = void (*)(const float * x, const float * w, int64_t k, int64_t panel_stride, float * c, int64_t ldc, bool add);

struct product_kernels {
    const char *   name;  // avx512, avx2, plain
    int            most_rows, most_panels;
    product_kernel of[12][2];  // [rows - 1][panels - 1]
};

// The best for this processor, or none better than INWARD_KERNELS (avx512, avx2, plain) names.
const product_kernels & kernels_here();

}  // namespace inward
