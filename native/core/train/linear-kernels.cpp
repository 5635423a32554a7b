// Products of projections with their LoRA pairs. Each thread has its own rows (forward) or columns (backward) of W; encoded
// ones it turns into floats a block at a time, so that they stay in its cache.
#include <algorithm>
#include <cstring>
#include <string>

#include "train/kernels.h"

namespace inward {

namespace {

// Columns of one turn of the product kernels; where threads are many, half of that.
constexpr int64_t COLUMN_STEP = 2 * PANEL;

struct range {
    int64_t first, last;
    int64_t size() const { return last - first; }
};

range slice(int64_t count, int64_t step, int ith, int nth) {
    const int64_t units = (count + step - 1) / step;
    return { std::min(count, units * ith / nth * step), std::min(count, units * (ith + 1) / nth * step) };
}

range columns_of(int64_t count, int ith, int nth) {
    return slice(count, count < 4 * COLUMN_STEP * nth ? PANEL : COLUMN_STEP, ith, nth);
}

int64_t block_of(const ggml_tensor * w) { return ggml_get_type_traits(w->type)->blck_size; }

// Columns of an encoded weight that are decoded together.
int64_t decoded_columns(const ggml_tensor * w) { return std::max(COLUMN_STEP, block_of(w)); }

// One thread's.
struct worker {
    matrix_products products;
    float *         decoded;

    explicit worker(float * work) : products(work), decoded(work + matrix_products::FLOATS) {}
    worker(const projection_group & group, int ith) : worker(group.work->of_thread[ith].data()) {}

    // Rows [row, row + rows) and columns [column, column + columns), which begin and end with blocks, as floats; no copy
    // where they are floats already.
    matrix_view weights(const ggml_tensor * w, int64_t row, int64_t rows, int64_t column, int64_t columns) const {
        if (w->type == GGML_TYPE_F32) return { floats(w) + row * stride(w) + column, stride(w) };
        const auto * traits = ggml_get_type_traits(w->type);
        const char * from   = (const char *) w->data + column / traits->blck_size * traits->type_size;
        for (int64_t i = 0; i < rows; i++) {
            traits->to_float(from + (row + i) * w->nb[1], decoded + i * columns, columns);
        }
        return { decoded, columns };
    }
};

// Calls f(first, count) for equal pieces of `count`, each of at most `most`.
template <typename F> void each_piece(int64_t count, int64_t most, F f) {
    const int64_t pieces = (count + most - 1) / most;
    for (int64_t i = 0; i < pieces; i++) f(count * i / pieces, count * (i + 1) / pieces - count * i / pieces);
}

matrix_view view_of(const ggml_tensor * t, transpose turned = transpose::no) { return { floats(t), stride(t), turned }; }

matrix_view turned(matrix_view view) { return { view.at, view.ld, transpose::yes }; }

projection_group & group_of(void * userdata) { return *(projection_group *) userdata; }

void lora_down_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    auto &        group = group_of(userdata);
    const auto *  x     = dst->src[0];
    const range   t     = slice(x->ne[1], 1, ith, nth);
    worker(group, ith).products.multiply(t.size(), group.rank_rows, group.in, group.scale, view_of(x).from(t.first, 0),
                                         view_of(group.a, transpose::yes), false,
                                         floats(dst) + t.first * group.rank_rows, group.rank_rows);
}

// Calls f(part, first row, last row, where they stand in the group's output) for what of each part lies in `mine`.
template <typename F> void each_part(const projection_group & group, range mine, F f) {
    int64_t begin = 0;
    for (const auto & part : group.parts) {
        const int64_t first = std::max(mine.first, begin) - begin;
        const int64_t last  = std::min(mine.last, begin + part.out) - begin;
        if (first < last) f(part, first, last, begin + first);
        begin += part.out;
    }
}

// What the products are added to: the residual, the bias, or both. Neither: nothing.
bool begin_rows(const projection & part, const ggml_tensor * residual, int64_t tokens, int64_t first, int64_t last,
                int64_t column, float * out, int64_t ld) {
    if (!residual && !part.base.bias) return false;
    for (int64_t t = 0; t < tokens; t++) {
        float * to = out + t * ld + column;
        if (residual) {
            std::memcpy(to, floats(residual) + t * stride(residual) + column, (last - first) * sizeof(float));
        } else {
            std::fill(to, to + last - first, 0.0f);
        }
        if (part.base.bias) {
            const float * bias = floats(part.base.bias) + first;
            for (int64_t i = 0; i < last - first; i++) to[i] += bias[i];
        }
    }
    return true;
}

void linear_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    auto &       group    = group_of(userdata);
    const auto * x        = dst->src[0];
    const auto * xa       = group.has_lora() ? dst->src[1] : nullptr;
    const auto * residual = dst->src[group.has_lora() ? 2 : 1];
    const int64_t tokens  = x->ne[1];
    const range   mine    = columns_of(group.out, ith, nth);
    worker        own(group, ith);
    each_part(group, mine, [&](const projection & part, int64_t first, int64_t last, int64_t column) {
        begin_rows(part, residual, tokens, first, last, column, floats(dst), group.out);
    });
    each_piece(tokens, matrix_products::MOST_ROWS, [&](int64_t t, int64_t rows) {
        float * out = floats(dst) + t * group.out;
        for (int64_t k = 0; k < group.in; k += SUM_BLOCK) {
            const int64_t length = std::min(SUM_BLOCK, group.in - k);
            own.products.take_left(rows, length, 1, view_of(x).from(t, k));
            each_part(group, mine, [&](const projection & part, int64_t first, int64_t last, int64_t column) {
                const auto *  w    = part.base.weight;
                const bool    add  = k > 0 || residual || part.base.bias;
                const int64_t step = w->type == GGML_TYPE_F32 ? last - first : COLUMN_STEP;
                for (int64_t row = first; row < last; row += step) {
                    const int64_t count = std::min(step, last - row);
                    own.products.times(count, turned(own.weights(w, row, count, k, length)), add,
                                       out + column + row - first, group.out);
                }
            });
        }
    });
    each_part(group, mine, [&](const projection & part, int64_t first, int64_t last, int64_t column) {
        if (!part.b) return;
        own.products.multiply(tokens, last - first, group.rank, 1, view_of(xa).from(0, part.a_row),
                              turned(view_of(part.b).from(first, 0)), true, floats(dst) + column, group.out);
    });
}

void lora_down_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    auto &       group = group_of(userdata);
    const auto * dy    = dst->src[0];
    const range  t     = slice(dy->ne[1], 1, ith, nth);
    worker       own(group, ith);
    each_part(group, { 0, group.out }, [&](const projection & part, int64_t, int64_t, int64_t column) {
        if (!part.b) return;
        own.products.multiply(t.size(), group.rank, part.out, group.scale, view_of(dy).from(t.first, column),
                              view_of(part.b), false, floats(dst) + t.first * group.rank_rows + part.a_row,
                              group.rank_rows);
    });
}

// Adds to the gradients of A (these columns) and of every B (this thread's rows).
void add_gradients(projection_group & group, const ggml_tensor * dy, const ggml_tensor * dxa, const ggml_tensor * x,
                   const ggml_tensor * xa, int ith, int nth) {
    const int64_t tokens  = dy->ne[1];
    const range   columns = columns_of(group.in, ith, nth);
    worker        own(group, ith);
    own.products.multiply(group.rank_rows, columns.size(), tokens, 1, view_of(dxa, transpose::yes),
                          view_of(x).from(0, columns.first), true, floats(group.grad_a) + columns.first, group.in);
    each_part(group, { 0, group.out }, [&](const projection & part, int64_t, int64_t, int64_t column) {
        if (!part.b) return;
        const range rows = slice(part.out, PANEL, ith, nth);
        own.products.multiply(rows.size(), group.rank, tokens, 1,
                              turned(view_of(dy).from(0, column + rows.first)), view_of(xa).from(0, part.a_row), true,
                              floats(part.grad_b) + rows.first * group.rank, group.rank);
    });
}

// dst[tokens, columns] = dy W (+ mask * dxa A)
void input_gradient(projection_group & group, ggml_tensor * dst, const ggml_tensor * dy, const ggml_tensor * dxa,
                    const ggml_tensor * mask, range tokens, range columns, worker & own) {
    float * out = floats(dst) + tokens.first * group.in + columns.first;
    if (tokens.size() <= 0 || columns.size() <= 0) return;
    if (dxa) {
        own.products.multiply(tokens.size(), columns.size(), group.rank_rows, 1, view_of(dxa).from(tokens.first, 0),
                              view_of(group.a).from(0, columns.first), false, out, group.in);
        for (int64_t t = 0; mask && t < tokens.size(); t++) {
            const float * keep = floats(mask) + (tokens.first + t) * stride(mask) + columns.first;
            for (int64_t i = 0; i < columns.size(); i++) out[t * group.in + i] *= keep[i];
        }
    }
    each_piece(tokens.size(), matrix_products::MOST_ROWS, [&](int64_t t, int64_t rows) {
        bool add = dxa != nullptr;
        each_part(group, { 0, group.out }, [&](const projection & part, int64_t, int64_t last, int64_t column) {
            const auto *  w    = part.base.weight;
            const int64_t step = w->type == GGML_TYPE_F32 ? columns.size() : decoded_columns(w);
            for (int64_t row = 0; row < last; row += SUM_BLOCK) {
                const int64_t count = std::min(SUM_BLOCK, last - row);
                own.products.take_left(rows, count, 1, view_of(dy).from(tokens.first + t, column + row));
                for (int64_t c = columns.first; c < columns.last; c += step) {
                    const int64_t width = std::min(step, columns.last - c);
                    own.products.times(width, own.weights(w, row, count, c, width), add,
                                       out + t * group.in + c - columns.first, group.in);
                }
                add = true;
            }
        });
    });
}

void linear_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    auto &       group = group_of(userdata);
    const auto * dy    = dst->src[0];
    const auto * dxa   = group.has_lora() ? dst->src[1] : nullptr;
    const auto * mask  = group.has_lora() ? dst->src[4] : nullptr;
    worker       own(group, ith);
    // Encoded blocks are cut between columns only where they end; where that would leave threads idle, cut the tokens
    // instead.
    int64_t unit = 1;
    for (const auto & part : group.parts) unit = std::max(unit, block_of(part.base.weight));
    const int64_t units     = (group.in + unit - 1) / unit;
    const bool    by_tokens = unit > PANEL && units % nth != 0 && units < 4 * nth;
    const range   tokens    = by_tokens ? slice(dy->ne[1], 1, ith, nth) : range{ 0, dy->ne[1] };
    const range   columns   = by_tokens     ? range{ 0, group.in }
                              : unit > PANEL ? slice(group.in, unit, ith, nth)
                                             : columns_of(group.in, ith, nth);
    input_gradient(group, dst, dy, dxa, mask, tokens, columns, own);
    if (group.has_lora()) add_gradients(group, dy, dxa, dst->src[2], dst->src[3], ith, nth);
}

void lora_gradients_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    add_gradients(group_of(userdata), dst->src[0], dst->src[1], dst->src[2], dst->src[3], ith, nth);
}

ggml_tensor * custom(ggml_context * ctx, const char * name, projection_group & group, int64_t ne0, int64_t ne1,
                     const std::vector<ggml_tensor *> & sources, ggml_custom_op_t op) {
    return custom_node(ctx, (std::string(name) + " " + group.name).c_str(), ne0, ne1, sources, op, &group);
}

}  // namespace

ggml_tensor * lora_down(ggml_context * ctx, projection_group & group, ggml_tensor * x) {
    return custom(ctx, "lora down", group, group.rank_rows, x->ne[1], { x }, lora_down_op);
}

ggml_tensor * linear(ggml_context * ctx, projection_group & group, ggml_tensor * x, ggml_tensor * xa,
                     ggml_tensor * residual) {
    std::vector<ggml_tensor *> sources = { x };
    if (group.has_lora()) sources.push_back(xa);
    sources.push_back(residual);
    return custom(ctx, "linear", group, group.out, x->ne[1], sources, linear_op);
}

ggml_tensor * lora_down_back(ggml_context * ctx, projection_group & group, ggml_tensor * dy) {
    return custom(ctx, "lora down back", group, group.rank_rows, dy->ne[1], { dy }, lora_down_back_op);
}

ggml_tensor * linear_back(ggml_context * ctx, projection_group & group, ggml_tensor * dy, ggml_tensor * dxa,
                          ggml_tensor * dropped_x, ggml_tensor * xa, ggml_tensor * mask) {
    std::vector<ggml_tensor *> sources = { dy };
    if (group.has_lora()) sources.insert(sources.end(), { dxa, dropped_x, xa, mask });
    return custom(ctx, "linear back", group, group.in, dy->ne[1], sources, linear_back_op);
}

ggml_tensor * lora_gradients(ggml_context * ctx, projection_group & group, ggml_tensor * dy, ggml_tensor * dxa,
                             ggml_tensor * dropped_x, ggml_tensor * xa) {
    return custom(ctx, "lora gradients", group, 1, 1, { dy, dxa, dropped_x, xa }, lora_gradients_op);
}

int64_t linear_scratch(const projection_group & group) {
    int64_t columns = 0;
    for (const auto & part : group.parts) {
        if (part.base.weight->type == GGML_TYPE_F32) continue;
        columns = std::max(columns, decoded_columns(part.base.weight));
    }
    return matrix_products::FLOATS + columns * SUM_BLOCK;
}

}  // namespace inward
