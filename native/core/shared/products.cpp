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
// Rows that one piece of a panel serves before the next piece comes: they stay in a core's own cache, and the piece is
// decoded once for all of them.
constexpr int64_t ROWS_AT_ONCE = 96;
constexpr int64_t LINE         = 64;  // of a cache

}  // namespace

memory_block::memory_block(int64_t bytes) : bytes_((size_t) std::max<int64_t>(1, bytes)) {
#ifdef __linux__
    void * at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    if (bytes_ >= LARGE_PAGE) madvise(at, bytes_, MADV_HUGEPAGE);
#else
    void * at = std::calloc(1, bytes_);
    if (!at) throw std::bad_alloc();
#endif
    at_ = (uint8_t *) at;
}

memory_block::~memory_block() {
    if (!at_) return;
#ifdef __linux__
    munmap(at_, bytes_);
#else
    std::free(at_);
#endif
}

memory_block & memory_block::operator=(memory_block && from) noexcept {
    std::swap(at_, from.at_);
    std::swap(bytes_, from.bytes_);
    return *this;
}

packed_rows::packed_rows(float * data, int64_t rows, int64_t in) : data_(data), rows_(rows), in_(in) {
    const int64_t most = kernels_here().most_rows;
    tiles_             = (rows + most - 1) / most;
}

std::pair<float *, int64_t> packed_rows::place(int64_t row) const {
    // The tile whose rows [n t / T, n (t + 1) / T) hold it.
    const int64_t index  = ((row + 1) * tiles_ - 1) / rows_;
    const int64_t first  = first_row(index), height = first_row(index + 1) - first;
    return { data_ + first * in_ + (row - first), height };
}

void packed_rows::put(int64_t row, const float * values) const {
    const auto [to, height] = place(row);
    for (int64_t i = 0; i < in_; i++) to[i * height] = values[i];
}

void packed_rows::put_tile(int64_t tile, int64_t first, int64_t count, const float * values, int64_t ld,
                           float factor) const {
    const int64_t rows = height(tile);
    float *       to   = data_ + first_row(tile) * in_ + first * rows;
    // What turning leaves behind its end has to lie within what is put here: another thread puts what comes next.
    const int64_t turned = rows % 4 == 0 ? count : std::max<int64_t>(0, count / 4 * 4 - 4);
    if (turned > 0) kernels_here().turn(values, ld, rows, turned, factor, to);
    for (int64_t i = turned; i < count; i++) {
        for (int64_t r = 0; r < rows; r++) to[i * rows + r] = values[r * ld + i] * factor;
    }
}

void packed_rows::get(int64_t row, float * values) const {
    const auto [from, height] = place(row);
    for (int64_t i = 0; i < in_; i++) values[i] = from[i * height];
}

packed_matrix::packed_matrix(uint8_t * data, ggml_type type, int64_t in, int64_t out, const product_kernels & kernels)
    : data_(data),
      type_(type),
      in_(in),
      out_(out),
      panel_bytes_(panel_bytes(type, in)),
      kernels_(&kernels),
      panels_(&kernels.of_type(type)) {}

void packed_matrix::put(int64_t row, int64_t count, ggml_type type, const void * bytes,
                        std::vector<float> & scratch) const {
    if (type != type_) {
        scratch.resize(count * in_);
        ggml_get_type_traits(type)->to_float(bytes, scratch.data(), count * in_);
        bytes = scratch.data();
    }
    const int64_t width = (int64_t) ggml_row_size(type_, in_);
    for (int64_t i = 0; i < count; i += PANEL) {
        put_panel(type_, (const uint8_t *) bytes + i * width, std::min(PANEL, count - i), in_,
                  data_ + (row + i) / PANEL * panel_bytes_);
    }
}

void packed_matrix::get(int64_t row, float * weights) const {
    float decoded[SUM_BLOCK * PANEL];
    for (int64_t k = 0; k < in_; k += SUM_BLOCK) {
        const int64_t length = std::min(SUM_BLOCK, in_ - k);
        panels_->decode(at(row / PANEL, k), length, decoded);
        for (int64_t i = 0; i < length; i++) weights[k + i] = decoded[i * PANEL + row % PANEL];
    }
}

// The panel that is filled up has no room for all its outputs where the others' go.
template <typename Kernel> static void at_edge(const Kernel & kernel, int64_t rows, int64_t outputs, bool add,
                                               float * out, int64_t ld) {
    float edge[12 * PANEL];
    kernel(edge, PANEL, false);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < outputs; i++) out[r * ld + i] = (add ? out[r * ld + i] : 0) + edge[r * PANEL + i];
    }
}

void packed_matrix::multiply_few(const packed_rows & x, int64_t tile, int64_t first_panel, int64_t last_panel, bool add,
                                 float * out, int64_t ld) const {
    const int64_t row = x.first_row(tile), rows = x.height(tile);
    const int64_t several = kernels_->few_panels[rows - 1];
    for (int64_t panel = first_panel; panel < last_panel;) {
        const int64_t left  = std::min(last_panel, out_ / PANEL) - panel;  // of whole ones
        const int64_t count = left >= several ? several : 1;
        const auto    few   = panels_->few[rows - 1][count == several];
        for (int64_t k = 0; k < in_; k += SUM_BLOCK) {
            const auto kernel = [&](float * to, int64_t stride, bool adds) {
                few(x.tile(tile) + k * rows, at(panel, k), std::min(SUM_BLOCK, in_ - k), panel_bytes_, to, stride, adds);
            };
            float * to = out + row * ld + panel * PANEL;
            if (left > 0) kernel(to, ld, add || k > 0);
            else at_edge(kernel, rows, out_ - panel * PANEL, add || k > 0, to, ld);
        }
        panel += count;
    }
}

void packed_matrix::multiply(const packed_rows & x, int64_t first_tile, int64_t last_tile, int64_t first_panel,
                             int64_t last_panel, bool add, float * out, int64_t ld, const uint8_t * then) const {
    if (last_tile == first_tile + 1 && x.height(first_tile) <= FEW_ROWS) {
        return multiply_few(x, first_tile, first_panel, last_panel, add, out, ld);
    }
    const auto &  kernels = *kernels_;
    const int64_t rows_of = x.first_row(last_tile) - x.first_row(first_tile);
    const int64_t passes  = (rows_of + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
    alignas(64) float decoded[2 * SUM_BLOCK * PANEL];
    for (int64_t pass = 0; pass < passes; pass++) {
        const int64_t begin = first_tile + (last_tile - first_tile) * pass / passes;
        const int64_t end   = first_tile + (last_tile - first_tile) * (pass + 1) / passes;
        for (int64_t panel = first_panel; panel < last_panel;) {
            const bool    whole = (panel + 1) * PANEL <= out_;
            const bool    pair  = kernels.most_panels == 2 && panel + 2 <= last_panel && (panel + 2) * PANEL <= out_;
            const int64_t count = pair ? 2 : 1;
            for (int64_t k = 0; k < in_; k += SUM_BLOCK) {
                const int64_t length  = std::min(SUM_BLOCK, in_ - k);
                const float * weights = (const float *) at(panel, k);
                int64_t       stride  = in_ * PANEL;
                if (type_ != GGML_TYPE_F32) {
                    stride  = SUM_BLOCK * PANEL;
                    weights = decoded;
                    for (int64_t i = 0; i < count; i++) panels_->decode(at(panel + i, k), length, decoded + i * stride);
                }
                // The block after this one, a share of it with each tile.
                const bool  ends = k + length == in_;
                wanted_next next{ at(panel, k), panel_bytes_, length };
                if (!ends) next.at = at(panel, k + length);
                else if (panel + count < last_panel) next.at = at(panel + count, 0);
                else if (pass + 1 < passes) next.at = at(first_panel, 0);
                else if (then) next.at = then;
                const int64_t lines = (panel_bytes(type_, SUM_BLOCK) + LINE - 1) / LINE;
                next.every          = std::max<int64_t>(1, length * (end - begin) / lines);
                for (int64_t t = begin; t < end; t++) {
                    const int64_t row = x.first_row(t), rows = x.height(t);
                    const auto    kernel = [&](float * to, int64_t to_stride, bool adds) {
                        kernels.of[rows - 1][count - 1](x.tile(t) + k * rows, weights, length, stride, to, to_stride,
                                                        adds, next);
                    };
                    float * to = out + row * ld + panel * PANEL;
                    if (whole) kernel(to, ld, add || k > 0);
                    else at_edge(kernel, rows, out_ - panel * PANEL, add || k > 0, to, ld);
                    next.at += (length + next.every - 1) / next.every * LINE;
                }
            }
            panel += count;
        }
    }
}

}  // namespace inward
