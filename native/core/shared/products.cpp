#include "shared/products.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#ifdef __linux__
#    include <sys/mman.h>
#endif

namespace inward {

namespace {

constexpr size_t  LARGE_PAGE = 2 << 20;
// Tiles of rows that one piece of a panel serves before the next piece comes: they stay in a core's own cache.
constexpr int64_t TILES_AT_ONCE = 8;

}  // namespace

float_block::float_block(int64_t floats) : bytes_((size_t) std::max<int64_t>(PANEL, floats) * sizeof(float)) {
#ifdef __linux__
    void * at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    if (bytes_ >= LARGE_PAGE) madvise(at, bytes_, MADV_HUGEPAGE);
#else
    void * at = std::calloc(1, bytes_);
    if (!at) throw std::bad_alloc();
#endif
    at_ = (float *) at;
}

float_block::~float_block() {
    if (!at_) return;
#ifdef __linux__
    munmap(at_, bytes_);
#else
    std::free(at_);
#endif
}

float_block & float_block::operator=(float_block && from) noexcept {
    std::swap(at_, from.at_);
    std::swap(bytes_, from.bytes_);
    return *this;
}

packed_rows::packed_rows(float * data, int64_t rows, int64_t in) : data_(data), rows_(rows), in_(in) {
    const int64_t most = kernels_here().most_rows;
    tiles_             = (rows + most - 1) / most;
}

void packed_rows::put(int64_t row, const float * values, float factor) const {
    // The tile whose rows [n t / T, n (t + 1) / T) hold it.
    const int64_t index  = ((row + 1) * tiles_ - 1) / rows_;
    const int64_t first  = first_row(index), height = first_row(index + 1) - first;
    float *       to     = data_ + first * in_ + (row - first);
    for (int64_t i = 0; i < in_; i++) to[i * height] = values[i] * factor;
}

void packed_matrix::put(int64_t row, ggml_type type, const void * bytes, std::vector<float> & scratch) const {
    scratch.resize(in_);
    if (type == GGML_TYPE_F32) std::memcpy(scratch.data(), bytes, in_ * sizeof(float));
    else ggml_get_type_traits(type)->to_float(bytes, scratch.data(), in_);
    float * to = data_ + row / PANEL * PANEL * in_ + row % PANEL;
    for (int64_t i = 0; i < in_; i++) to[i * PANEL] = scratch[i];
}

void packed_matrix::get(int64_t row, float * weights) const {
    const float * from = data_ + row / PANEL * PANEL * in_ + row % PANEL;
    for (int64_t i = 0; i < in_; i++) weights[i] = from[i * PANEL];
}

void packed_matrix::add_product(const packed_rows & x, int64_t first_tile, int64_t last_tile, int64_t first_panel,
                                int64_t last_panel, float * out, int64_t ld) const {
    const auto & kernels = kernels_here();
    float        edge[12 * PANEL];  // of the panel that is filled up
    for (int64_t begin = first_tile; begin < last_tile; begin += TILES_AT_ONCE) {
        const int64_t end = std::min(last_tile, begin + TILES_AT_ONCE);
        for (int64_t panel = first_panel; panel < last_panel;) {
            const bool    whole = (panel + 1) * PANEL <= out_;
            const bool    pair  = kernels.most_panels == 2 && panel + 2 <= last_panel && (panel + 2) * PANEL <= out_;
            const int64_t count = pair ? 2 : 1;
            for (int64_t k = 0; k < in_; k += SUM_BLOCK) {
                const int64_t length  = std::min(SUM_BLOCK, in_ - k);
                const float * weights = data_ + panel * PANEL * in_ + k * PANEL;
                for (int64_t t = begin; t < end; t++) {
                    const int64_t row = x.first_row(t), rows = x.first_row(t + 1) - row;
                    const auto    kernel = kernels.of[rows - 1][count - 1];
                    float *       to     = out + row * ld + panel * PANEL;
                    if (whole) {
                        kernel(x.tile(t) + k * rows, weights, length, in_ * PANEL, to, ld, true);
                        continue;
                    }
                    kernel(x.tile(t) + k * rows, weights, length, in_ * PANEL, edge, PANEL, false);
                    for (int64_t r = 0; r < rows; r++) {
                        for (int64_t i = 0; i < out_ - panel * PANEL; i++) to[r * ld + i] += edge[r * PANEL + i];
                    }
                }
            }
            panel += count;
        }
    }
}

}  // namespace inward
