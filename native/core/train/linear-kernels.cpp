// Products of projections with their LoRA pairs. Each thread turns its own rows (forward) or columns (backward) of W
// into floats, a block at a time so that they stay in its cache, and multiplies.
#include <algorithm>
#include <cstring>
#include <string>

#include "train/kernels.h"

namespace inward {

namespace {

constexpr int64_t BLOCK_ROWS = 256;
constexpr int64_t COLUMN_STEP = 16;

struct range {
    int64_t first, last;
    int64_t size() const { return last - first; }
};

range slice(int64_t count, int64_t step, int ith, int nth) {
    const int64_t units = (count + step - 1) / step;
    return { std::min(count, units * ith / nth * step), std::min(count, units * (ith + 1) / nth * step) };
}

// Rows [row, row + rows) and columns [column, column + columns) as floats with row length *ld; no copy where they are
// floats already.
const float * as_floats(const ggml_tensor * w, int64_t row, int64_t rows, int64_t column, int64_t columns,
                        float * scratch, int64_t * ld) {
    if (w->type == GGML_TYPE_F32) {
        *ld = stride(w);
        return floats(w) + row * *ld + column;
    }
    const auto * traits = ggml_get_type_traits(w->type);
    *ld = columns;
    const char * from = (const char *) w->data + column / traits->blck_size * traits->type_size;
    for (int64_t i = 0; i < rows; i++) traits->to_float(from + (row + i) * w->nb[1], scratch + i * columns, columns);
    return scratch;
}

int64_t column_unit(const projection_group & group) {
    int64_t unit = COLUMN_STEP;
    for (const auto & part : group.parts) {
        unit = std::max(unit, (int64_t) ggml_get_type_traits(part.base.weight->type)->blck_size);
    }
    return unit;
}

projection_group & group_of(void * userdata) { return *(projection_group *) userdata; }

void lora_down_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    auto &        group = group_of(userdata);
    const auto *  x     = dst->src[0];
    const range   t     = slice(x->ne[1], 1, ith, nth);
    group.library->sgemm(transpose::no, transpose::yes, t.size(), group.rank_rows, group.in, group.scale,
                         floats(x) + t.first * stride(x), stride(x), floats(group.a), group.in, 0,
                         floats(dst) + t.first * group.rank_rows, group.rank_rows);
}

void linear_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    auto &       group    = group_of(userdata);
    const auto * x        = dst->src[0];
    const auto * xa       = group.has_lora() ? dst->src[1] : nullptr;
    const auto * residual = dst->src[group.has_lora() ? 2 : 1];
    const int64_t tokens  = x->ne[1];
    const range   mine    = slice(group.out, COLUMN_STEP, ith, nth);
    float *       scratch = group.work->of_thread[ith].data();
    int64_t       begin   = 0;
    for (const auto & part : group.parts) {
        const int64_t first = std::max(mine.first, begin) - begin;
        const int64_t last  = std::min(mine.last, begin + part.out) - begin;
        float *       out   = floats(dst) + begin;
        // Weights that are floats already need no blocks.
        const bool    whole = part.base.weight->type == GGML_TYPE_F32;
        const int64_t step  = whole ? std::max<int64_t>(1, last - first) : BLOCK_ROWS;
        for (int64_t row = first; row < last; row += step) {
            const int64_t rows = std::min(step, last - row);
            int64_t       ld;
            const float * w = as_floats(part.base.weight, row, rows, 0, group.in, scratch, &ld);
            if (residual || part.base.bias) {
                for (int64_t t = 0; t < tokens; t++) {
                    float * to = out + t * group.out + row;
                    if (residual) {
                        std::memcpy(to, floats(residual) + t * stride(residual) + begin + row, rows * sizeof(float));
                    } else {
                        std::fill(to, to + rows, 0.0f);
                    }
                    if (part.base.bias) {
                        const float * bias = floats(part.base.bias) + row;
                        for (int64_t i = 0; i < rows; i++) to[i] += bias[i];
                    }
                }
            }
            group.library->sgemm(transpose::no, transpose::yes, tokens, rows, group.in, 1, floats(x), stride(x), w, ld,
                                 residual || part.base.bias ? 1.0f : 0.0f, out + row, group.out);
            if (part.b) {
                group.library->sgemm(transpose::no, transpose::yes, tokens, rows, group.rank, 1,
                                     floats(xa) + part.a_row, stride(xa), floats(part.b) + row * group.rank,
                                     group.rank, 1, out + row, group.out);
            }
        }
        begin += part.out;
    }
}

void lora_down_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    auto &       group = group_of(userdata);
    const auto * dy    = dst->src[0];
    const range  t     = slice(dy->ne[1], 1, ith, nth);
    int64_t      begin = 0;
    for (const auto & part : group.parts) {
        if (part.b) {
            group.library->sgemm(transpose::no, transpose::no, t.size(), group.rank, part.out, group.scale,
                                 floats(dy) + t.first * stride(dy) + begin, stride(dy), floats(part.b), group.rank, 0,
                                 floats(dst) + t.first * group.rank_rows + part.a_row, group.rank_rows);
        }
        begin += part.out;
    }
}

// Adds to the gradients of A (these columns) and of every B (this thread's rows).
void add_gradients(projection_group & group, const ggml_tensor * dy, const ggml_tensor * dxa, const ggml_tensor * x,
                   const ggml_tensor * xa, int ith, int nth) {
    const int64_t tokens  = dy->ne[1];
    const range   columns = slice(group.in, COLUMN_STEP, ith, nth);
    group.library->sgemm(transpose::yes, transpose::no, group.rank_rows, columns.size(), tokens, 1, floats(dxa),
                         stride(dxa), floats(x) + columns.first, stride(x), 1, floats(group.grad_a) + columns.first,
                         group.in);
    int64_t begin = 0;
    for (const auto & part : group.parts) {
        if (part.b) {
            const range rows = slice(part.out, COLUMN_STEP, ith, nth);
            group.library->sgemm(transpose::yes, transpose::no, rows.size(), group.rank, tokens, 1,
                                 floats(dy) + begin + rows.first, stride(dy), floats(xa) + part.a_row, stride(xa), 1,
                                 floats(part.grad_b) + rows.first * group.rank, group.rank);
        }
        begin += part.out;
    }
}

// dst[tokens, columns] = dy W (+ mask * dxa A)
void input_gradient(projection_group & group, ggml_tensor * dst, const ggml_tensor * dy, const ggml_tensor * dxa,
                    const ggml_tensor * mask, range tokens, range columns, float * scratch) {
    float * out = floats(dst) + tokens.first * group.in + columns.first;
    if (tokens.size() <= 0 || columns.size() <= 0) return;
    float beta = 0;
    if (dxa) {
        group.library->sgemm(transpose::no, transpose::no, tokens.size(), columns.size(), group.rank_rows, 1,
                             floats(dxa) + tokens.first * stride(dxa), stride(dxa), floats(group.a) + columns.first,
                             group.in, 0, out, group.in);
        for (int64_t t = 0; mask && t < tokens.size(); t++) {
            const float * keep = floats(mask) + (tokens.first + t) * stride(mask) + columns.first;
            for (int64_t i = 0; i < columns.size(); i++) out[t * group.in + i] *= keep[i];
        }
        beta = 1;
    }
    int64_t begin = 0;
    for (const auto & part : group.parts) {
        const int64_t step = part.base.weight->type == GGML_TYPE_F32 ? part.out : BLOCK_ROWS;
        for (int64_t row = 0; row < part.out; row += step) {
            const int64_t rows = std::min(step, part.out - row);
            int64_t       ld;
            const float * w = as_floats(part.base.weight, row, rows, columns.first, columns.size(), scratch, &ld);
            group.library->sgemm(transpose::no, transpose::no, tokens.size(), columns.size(), rows, 1,
                                 floats(dy) + tokens.first * stride(dy) + begin + row, stride(dy), w, ld, beta, out,
                                 group.in);
            beta = 1;
        }
        begin += part.out;
    }
}

void linear_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    auto &       group   = group_of(userdata);
    const auto * dy      = dst->src[0];
    const auto * dxa     = group.has_lora() ? dst->src[1] : nullptr;
    const auto * mask    = group.has_lora() ? dst->src[4] : nullptr;
    float *      scratch = group.work->of_thread[ith].data();
    const int64_t unit   = column_unit(group);
    // Quantized blocks are cut between columns only where they end; where that would leave threads idle, cut the
    // tokens instead.
    const int64_t units  = (group.in + unit - 1) / unit;
    const bool by_tokens = unit > COLUMN_STEP && units % nth != 0 && units < 4 * nth;
    const range tokens   = by_tokens ? slice(dy->ne[1], 1, ith, nth) : range{ 0, dy->ne[1] };
    const range columns  = by_tokens ? range{ 0, group.in } : slice(group.in, unit, ith, nth);
    input_gradient(group, dst, dy, dxa, mask, tokens, columns, scratch);
    if (group.has_lora()) add_gradients(group, dy, dxa, dst->src[2], dst->src[3], ith, nth);
}

void lora_gradients_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
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
    for (const auto & part : group.parts) {
        if (part.base.weight->type != GGML_TYPE_F32) return BLOCK_ROWS * group.in;
    }
    return 0;
}

}  // namespace inward
