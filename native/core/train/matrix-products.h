// Products of matrices of floats, one thread's share of them. Every element is summed in an order that depends on the
// length of its sum alone: results do not depend on how threads share the work.
#pragma once
#include <cstdint>

#include "shared/products.h"

namespace inward {

enum class transpose { no, yes };

// A matrix as it lies or turned: its element (i, j) stands at at[i * ld + j], or at at[j * ld + i].
struct matrix_view {
    const float * at;
    int64_t       ld;
    transpose     turned = transpose::no;

    matrix_view from(int64_t i, int64_t j) const {
        return { turned == transpose::yes ? at + j * ld + i : at + i * ld + j, ld, turned };
    }
};

class matrix_products {
public:
    // most rows of a left operand that are packed at once
    static constexpr int64_t MOST_ROWS = 528;
    // of the work space
    static constexpr int64_t FLOATS = (MOST_ROWS + 2 * PANEL) * SUM_BLOCK + 2 * PANEL;

    // `work` has room for FLOATS and is this thread's alone
    explicit matrix_products(float * work, const product_kernels & kernels = kernels_here());

    // c [m x n] = factor a b, or that added to c; a is [m x k], b [k x n]
    void multiply(int64_t m, int64_t n, int64_t k, float factor, const matrix_view & a, const matrix_view & b, bool add,
                  float * c, int64_t ldc);

    // --- the same in steps, for several right operands of one left

    // a's rows, no more than MOST_ROWS, and no more than SUM_BLOCK of its columns
    void take_left(int64_t rows, int64_t k, float factor, const matrix_view & a);
    // c [rows x n] = what was taken times b, or that added to c
    void times(int64_t n, const matrix_view & b, bool add, float * c, int64_t ldc);

private:
    const product_kernels & kernels_;
    float *                 left_;   // in tiles of nearly equal height, each [k][height]
    float *                 right_;  // two panels
    int64_t                 rows_ = 0, k_ = 0, tiles_ = 0;

    int64_t first_row(int64_t tile) const { return rows_ * tile / tiles_; }
    void    take_panel(int64_t columns, const matrix_view & b, float * to) const;
};

}  // namespace inward
