#include "train/matrix-products.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "inward/error.h"
#include "inward/trainer.h"

namespace inward {

namespace {

// to [k][count] = factor times the first `count` of each of `k` rows, 4 FOURS or more
template <int FOURS>
void copy_fours(const float * from, int64_t ld, int64_t k, int64_t count, float factor, float * to) {
    for (int64_t i = 0; i < k; i++, from += ld, to += count) {
        for (int j = 0; j < 4 * FOURS; j++) to[j] = from[j] * factor;
        for (int64_t j = 4 * FOURS; j < count; j++) to[j] = from[j] * factor;
    }
}

void copy_rows(const float * from, int64_t ld, int64_t k, int64_t count, float factor, float * to) {
    const auto copy = count < 4 ? copy_fours<0> : count < 8 ? copy_fours<1> : count < 12 ? copy_fours<2> : copy_fours<3>;
    copy(from, ld, k, count, factor, to);
}

}  // namespace

matrix_products::matrix_products(float * work, const product_kernels & kernels) : kernels_(kernels) {
    // Panels begin with a cache line.
    right_ = (float *) (((uintptr_t) work + 63) / 64 * 64);
    left_  = right_ + 2 * PANEL * SUM_BLOCK;
}

void matrix_products::take_left(int64_t rows, int64_t k, float factor, const matrix_view & a) {
    rows_  = rows;
    k_     = k;
    tiles_ = (rows + kernels_.most_rows - 1) / kernels_.most_rows;
    for (int64_t t = 0; t < tiles_; t++) {
        const int64_t first = first_row(t), height = first_row(t + 1) - first;
        float *       to   = left_ + first * k;
        const float * from = a.from(first, 0).at;
        if (a.turned == transpose::yes) copy_rows(from, a.ld, k, height, factor, to);
        else kernels_.turn(from, a.ld, height, k, factor, to);
    }
}

void matrix_products::take_panel(int64_t columns, const matrix_view & b, float * to) const {
    if (columns < PANEL) {
        for (int64_t i = 0; i < k_; i++) {
            for (int64_t j = 0; j < PANEL; j++) to[i * PANEL + j] = j < columns ? *b.from(i, j).at : 0;
        }
    } else if (b.turned == transpose::yes) {
        kernels_.turn(b.at, b.ld, PANEL, k_, 1, to);
    } else {
        kernels_.copy(b.at, b.ld, k_, to);
    }
}

void matrix_products::times(int64_t n, const matrix_view & b, bool add, float * c, int64_t ldc) {
    for (int64_t column = 0; column < n;) {
        const int64_t left  = n - column;
        const int64_t count = left > PANEL && kernels_.most_panels == 2 ? 2 : 1;
        const int64_t width = std::min(left, count * PANEL);
        for (int64_t p = 0; p < count; p++) {
            take_panel(std::min(PANEL, width - p * PANEL), b.from(0, column + p * PANEL), right_ + p * k_ * PANEL);
        }
        // Both operands are near already.
        const wanted_next next{ (const uint8_t *) right_, 0, k_ };
        for (int64_t t = 0; t < tiles_; t++) {
            const int64_t row = first_row(t), rows = first_row(t + 1) - row;
            const float * x      = left_ + row * k_;
            const auto    kernel = kernels_.of[rows - 1][count - 1];
            float *       to     = c + row * ldc + column;
            if (width == count * PANEL) {
                kernel(x, right_, k_, k_ * PANEL, to, ldc, add, next);
                continue;
            }
            float edge[12 * 2 * PANEL];
            kernel(x, right_, k_, k_ * PANEL, edge, 2 * PANEL, false, next);
            for (int64_t r = 0; r < rows; r++) {
                for (int64_t i = 0; i < width; i++) {
                    to[r * ldc + i] = (add ? to[r * ldc + i] : 0) + edge[r * 2 * PANEL + i];
                }
            }
        }
        column += width;
    }
}

void matrix_products::multiply(int64_t m, int64_t n, int64_t k, float factor, const matrix_view & a,
                               const matrix_view & b, bool add, float * c, int64_t ldc) {
    if (m <= 0 || n <= 0) return;
    if (k <= 0) {
        for (int64_t i = 0; i < m && !add; i++) std::fill(c + i * ldc, c + i * ldc + n, 0.0f);
        return;
    }
    const int64_t parts = (m + MOST_ROWS - 1) / MOST_ROWS;
    for (int64_t part = 0; part < parts; part++) {
        const int64_t row = m * part / parts, rows = m * (part + 1) / parts - row;
        for (int64_t i = 0; i < k; i += SUM_BLOCK) {
            take_left(rows, std::min(SUM_BLOCK, k - i), factor, a.from(row, i));
            times(n, b.from(i, 0), add || i > 0, c + row * ldc, ldc);
        }
    }
}

void multiply(float_product & product, const std::string & kernels) {
    auto & [m, n, k, turn_a, turn_b, add, factor, a, b, c] = product;
    if (std::min({ m, n, k }) < 0 || (int64_t) a.size() != m * k || (int64_t) b.size() != k * n ||
        (int64_t) c.size() != m * n) {
        throw error("TRAIN_SHAPE", "a product's matrices are not [m x k], [k x n] and [m x n]");
    }
    const auto * named = kernels_named(kernels);
    if (!named) throw error("TRAIN_DEVICE", "this processor lacks the kernels " + kernels);
    std::vector<float> work(matrix_products::FLOATS);
    auto view = [](const std::vector<float> & of, bool turned, int64_t rows, int64_t columns) {
        return matrix_view{ of.data(), turned ? rows : columns, turned ? transpose::yes : transpose::no };
    };
    matrix_products(work.data(), *named)
        .multiply(m, n, k, factor, view(a, turn_a, m, k), view(b, turn_b, k, n), add, c.data(), n);
}

double measure_products(int threads, int m, int n, int k) {
    const std::vector<float> a((size_t) m * k, 0.5f), b((size_t) n * k, 0.25f);
    std::vector<float>       c((size_t) m * n);
    std::vector<std::vector<float>> work(threads, std::vector<float>(matrix_products::FLOATS));
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        const auto begun = std::chrono::steady_clock::now();
        std::vector<std::thread> pool;
        for (int t = 0; t < threads; t++) {
            pool.emplace_back([&, t] {
                const int64_t n0 = (int64_t) n * t / threads, n1 = (int64_t) n * (t + 1) / threads;
                matrix_products(work[t].data())
                    .multiply(m, n1 - n0, k, 1, { a.data(), k }, { b.data() + n0 * k, k, transpose::yes }, false,
                              c.data() + n0, n);
            });
        }
        for (auto & thread : pool) thread.join();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        best = std::min(best, took.count());
    }
    return 2.0 * m * n * k / best * 1e-9;
}

}  // namespace inward
