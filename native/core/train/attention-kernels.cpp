// Attention over a prefix forest. A block of queries and the heads that share keys are one product; keys of ancestors
// are gathered. Probabilities are not kept: the backward pass computes them again, which costs less than storing them.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "shared/row-kernels.h"
#include "train/kernels.h"

namespace inward {

namespace {

// Rows of one product: enough for the products' rate, few enough for the scores to stay in a core's cache.
constexpr int64_t PRODUCT_ROWS = 192;

int64_t block_tokens(int64_t heads, int64_t kv_heads) {
    return std::max<int64_t>(8, PRODUCT_ROWS / (heads / kv_heads));
}

// One block under one key-value head: what it gathers and where.
struct work_item {
    const attention_plan &  plan;
    const attention_block & block;
    int64_t                 kv_head, group, width, tokens, rows, keys, own_before;
    mutable matrix_products products;
    float * q, * k, * v, * scores, * slopes, * rest;

    work_item(const attention_plan & p, const attention_plan::item & item, float * scratch)
        : plan(p),
          block(p.blocks[item.block]),
          kv_head(item.kv_head),
          group(p.heads / p.kv_heads),
          width(p.head_width),
          products(scratch) {
        tokens     = block.last - block.first;
        rows       = tokens * group;
        keys       = block.key_count;
        own_before = keys - tokens;  // keys that every query of the block sees
        q          = scratch + matrix_products::FLOATS;
        k          = q + rows * width;
        v          = k + keys * width;
        scores     = v + keys * width;
        slopes     = scores + rows * keys;  // of capped scores
        rest       = slopes + (p.cap > 0 ? rows * keys : 0);
    }

    // Which of the gathered keys this row's query sees
    key_range seen(int64_t row) const {
        const int64_t last = own_before + row / group + 1;
        return { plan.window > 0 ? (int32_t) std::max<int64_t>(0, last - plan.window) : 0, (int32_t) last };
    }

    // rows are (token, head of the group)
    void gather_queries(const ggml_tensor * from, float * to) const {
        for (int64_t t = 0; t < tokens; t++) {
            const float * row = floats(from) + (block.first + t) * stride(from) + kv_head * group * width;
            std::memcpy(to + t * group * width, row, group * width * sizeof(float));
        }
    }

    // the other way round, into a tensor
    void scatter_queries(const float * from, ggml_tensor * to) const {
        for (int64_t t = 0; t < tokens; t++) {
            float * row = floats(to) + (block.first + t) * stride(to) + kv_head * group * width;
            std::memcpy(row, from + t * group * width, group * width * sizeof(float));
        }
    }

    void gather_keys(const ggml_tensor * from, int64_t feature, float * to) const {
        for (const auto & range : block.keys) {
            for (int64_t t = range.first; t < range.last; t++, to += width) {
                std::memcpy(to, floats(from) + t * stride(from) + feature + kv_head * width, width * sizeof(float));
            }
        }
    }

    // a product of whole matrices: their rows stand close together
    void multiply(transpose ta, transpose tb, int64_t m, int64_t n, int64_t k, float factor, const float * a,
                  const float * b, float * c) const {
        products.multiply(m, n, k, factor, { a, ta == transpose::yes ? m : k, ta },
                          { b, tb == transpose::yes ? k : n, tb }, false, c, n);
    }

    // gathers and leaves probabilities in `scores`, and in `slopes` what a cap makes of a change of a score
    void probabilities(const ggml_tensor * qk, const ggml_tensor * qkv) const {
        gather_queries(qk, q);
        gather_keys(qk, plan.heads * width, k);
        gather_keys(qkv, (plan.heads + plan.kv_heads) * width, v);
        multiply(transpose::no, transpose::yes, rows, keys, width, plan.scale, q, k, scores);
        for (int64_t r = 0; r < rows; r++) {
            float *         row   = scores + r * keys;
            const key_range sight = seen(r);
            float *         first = row + sight.first;
            const int64_t   count = sight.last - sight.first;
            if (plan.cap > 0) {
                cap_row(first, first, count, plan.cap);
                cap_slopes(first, slopes + r * keys + sight.first, count, plan.cap);
            }
            scale_in_place(first, count, 1.0f / exp_sum(first, count, greatest(first, count)));
            std::fill(row, first, 0.0f);
            std::fill(row + sight.last, row + keys, 0.0f);
        }
    }
};

const attention_layer & layer_of(void * userdata) { return *(const attention_layer *) userdata; }

void attention_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const auto & plan = *layer_of(userdata).plan;
    const auto * qk = dst->src[0], * qkv = dst->src[1];
    // Lists are made for a thread count; fewer threads than lists would leave some undone.
    for (size_t list = ith; list < plan.of_thread.size(); list += nth) {
        for (const auto & item : plan.of_thread[list]) {
            const work_item work(plan, item, plan.work->of_thread[ith].data());
            work.probabilities(qk, qkv);
            float * out = work.rest;
            work.multiply(transpose::no, transpose::no, work.rows, work.width, work.keys, 1, work.scores, work.v, out);
            work.scatter_queries(out, dst);
        }
    }
}

// dst: gradients of the rotated queries, then for every thread its own sums for keys and values.
void attention_back_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const auto & plan = *layer_of(userdata).plan;
    const auto * qk = dst->src[0], * qkv = dst->src[1], * dout = dst->src[2];
    const int64_t queries = plan.heads * plan.head_width, keys = plan.kv_heads * plan.head_width;
    for (size_t list = ith; list < plan.of_thread.size(); list += nth) {
        float * sums = floats(dst) + queries + (int64_t) list * 2 * keys;
        for (int64_t t = 0; t < dst->ne[1]; t++) std::fill_n(sums + t * stride(dst), 2 * keys, 0.0f);
        for (const auto & item : plan.of_thread[list]) {
            const work_item work(plan, item, plan.work->of_thread[ith].data());
            work.probabilities(qk, qkv);
            float * d_out    = work.rest;
            float * d_scores = d_out + work.rows * work.width;
            float * d_q      = d_scores + work.rows * work.keys;
            float * d_kv     = d_q + work.rows * work.width;
            work.gather_queries(dout, d_out);
            work.multiply(transpose::no, transpose::yes, work.rows, work.keys, work.width, 1, d_out, work.v, d_scores);
            auto scatter = [&](int64_t feature) {
                const float * from = d_kv;
                for (const auto & range : work.block.keys) {
                    for (int64_t t = range.first; t < range.last; t++, from += work.width) {
                        float * to = sums + t * stride(dst) + feature + work.kv_head * work.width;
                        for (int64_t i = 0; i < work.width; i++) to[i] += from[i];
                    }
                }
            };
            // values
            work.multiply(transpose::yes, transpose::no, work.keys, work.width, work.rows, 1, work.scores, d_out, d_kv);
            scatter(keys);
            // through the softmax: dS = P (dP - sum P dP) * scale, and through the cap
            for (int64_t r = 0; r < work.rows; r++) {
                softmax_back(work.scores + r * work.keys, d_scores + r * work.keys, work.keys, plan.scale);
                if (!(plan.cap > 0)) continue;
                const key_range sight = work.seen(r);
                const int64_t   first = r * work.keys + sight.first;
                multiply_row(d_scores + first, work.slopes + first, sight.last - sight.first);
            }
            work.multiply(transpose::no, transpose::no, work.rows, work.width, work.keys, 1, d_scores, work.k, d_q);
            work.scatter_queries(d_q, dst);
            // keys
            work.multiply(transpose::yes, transpose::no, work.keys, work.width, work.rows, 1, d_scores, work.q, d_kv);
            scatter(0);
        }
    }
}

// Calls f with the first number and the count of everything that is normed together.
template <typename F> void each_normed(const norm_parameters & norm, int64_t width, F f) {
    const int64_t n = norm.weight->ne[0];
    for (int64_t at = 0; at < width; at += n) f(at, n);
}

// Norms numbers of heads; without a norm they are left alone.
void norm_heads(const norm_parameters & norm, const float * from, float * to, int64_t width) {
    if (!norm.weight) return;
    each_normed(norm, width, [&](int64_t at, int64_t n) {
        norm_row(from + at, floats(norm.weight), to + at, n, norm.epsilon);
    });
}

// d, in place: the gradient of `x`, which were normed
void norm_heads_back(const norm_parameters & norm, const float * x, float * d, int64_t width) {
    each_normed(norm, width, [&](int64_t at, int64_t n) {
        norm_back_row(d + at, floats(norm.weight), x + at, nullptr, d + at, n, norm.epsilon);
    });
}

void turn_heads_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const auto &  layer = layer_of(userdata);
    const auto &  plan  = *layer.plan;
    const auto *  qkv = dst->src[0], * table = dst->src[1];
    const bool    normed  = layer.q_norm.weight;
    const int64_t queries = plan.heads * plan.head_width, keys = plan.kv_heads * plan.head_width;
    const int64_t first = dst->ne[1] * ith / nth, last = dst->ne[1] * (ith + 1) / nth;
    for (int64_t t = first; t < last; t++) {
        const float * from = floats(qkv) + t * stride(qkv);
        float *       to   = floats(dst) + t * stride(dst);
        norm_heads(layer.q_norm, from, to, queries);
        norm_heads(layer.k_norm, from + queries, to + queries, keys);
        if (table) {
            rotate_row(normed ? to : from, to, floats(table) + t * stride(table), plan.heads + plan.kv_heads,
                       plan.head_width, *layer.rope, 1);
        } else if (!normed) {
            std::copy(from, from + queries + keys, to);
        }
    }
}

// Adds the threads' sums in their order, turns queries and keys back and goes back through their norms.
void attention_finish_op(ggml_tensor * dst, int ith, int nth, void * userdata) {
    const node_order order;
    const auto & layer = layer_of(userdata);
    const auto & plan  = *layer.plan;
    const auto * parts = dst->src[0], * table = dst->src[1], * qkv = dst->src[2];
    const int64_t queries = plan.heads * plan.head_width, keys = plan.kv_heads * plan.head_width;
    const int64_t lists = (int64_t) plan.of_thread.size();
    const int64_t first = dst->ne[1] * ith / nth, last = dst->ne[1] * (ith + 1) / nth;
    for (int64_t t = first; t < last; t++) {
        const float * from = floats(parts) + t * stride(parts);
        float *       to   = floats(dst) + t * stride(dst);
        float *       kv   = to + queries;
        std::memcpy(kv, from + queries, 2 * keys * sizeof(float));
        for (int64_t list = 1; list < lists; list++) {
            const float * more = from + queries + list * 2 * keys;
            for (int64_t i = 0; i < 2 * keys; i++) kv[i] += more[i];
        }
        if (table) {
            const float * angles = floats(table) + t * stride(table);
            rotate_row(from, to, angles, plan.heads, plan.head_width, *layer.rope, -1);
            rotate_row(kv, kv, angles, plan.kv_heads, plan.head_width, *layer.rope, -1);
        } else {
            std::copy(from, from + queries, to);
        }
        if (qkv) {
            const float * x = floats(qkv) + t * stride(qkv);
            norm_heads_back(layer.q_norm, x, to, queries);
            norm_heads_back(layer.k_norm, x + queries, kv, keys);
        }
    }
}

}  // namespace

void attention_plan::set(const microbatch & batch, int threads) {
    blocks.clear();
    const int64_t tokens  = (int64_t) batch.token_ids.size();
    const int64_t at_once = block_tokens(heads, kv_heads);
    for (size_t s = 0; s < batch.segment_starts.size(); s++) {
        const int32_t begin = batch.segment_starts[s];
        const int32_t end   = s + 1 < batch.segment_starts.size() ? batch.segment_starts[s + 1] : (int32_t) tokens;
        std::vector<key_range> ancestors;
        int32_t                before = 0;
        for (int32_t a = batch.segment_parents[s]; a >= 0; a = batch.segment_parents[a]) {
            ancestors.insert(ancestors.begin(), { batch.segment_starts[a], batch.segment_starts[a + 1] });
            before += batch.segment_starts[a + 1] - batch.segment_starts[a];
        }
        for (int32_t first = begin; first < end; first += (int32_t) at_once) {
            attention_block block;
            block.first = first;
            block.last  = std::min<int32_t>(end, first + (int32_t) at_once);
            block.key_count = 0;
            // Keys that even the block's first query has left behind
            int64_t left = window > 0 ? std::max<int64_t>(0, before + first - begin + 1 - window) : 0;
            auto add = [&](key_range range) {
                const int32_t skipped = (int32_t) std::min<int64_t>(left, range.last - range.first);
                left -= skipped;
                range.first += skipped;
                block.key_count += range.last - range.first;
                if (range.first < range.last) block.keys.push_back(range);
            };
            for (const auto & ancestor : ancestors) add(ancestor);
            add({ begin, block.last });
            blocks.push_back(block);
        }
    }
    // Longest work first, each to the thread that has least: the lists depend on the microbatch and the thread count
    // alone.
    std::vector<item> items;
    for (int32_t b = 0; b < (int32_t) blocks.size(); b++) {
        for (int32_t h = 0; h < kv_heads; h++) items.push_back({ b, h });
    }
    auto cost = [&](const item & i) {
        const auto & block = blocks[i.block];
        return (int64_t) (block.last - block.first) * (block.key_count + 16);
    };
    std::stable_sort(items.begin(), items.end(), [&](const item & a, const item & b) { return cost(a) > cost(b); });
    of_thread.assign(threads, {});
    std::vector<int64_t> load(threads, 0);
    for (const auto & i : items) {
        const size_t least = std::min_element(load.begin(), load.end()) - load.begin();
        load[least] += cost(i);
        of_thread[least].push_back(i);
    }
}

int64_t attention_plan::scratch(int64_t tokens) const {
    const int64_t rows = std::min(tokens, block_tokens(heads, kv_heads)) * (heads / kv_heads);
    return matrix_products::FLOATS + rows * head_width * 3 + tokens * head_width * 3 + rows * tokens * (cap > 0 ? 3 : 2);
}

ggml_tensor * turn_heads(ggml_context * ctx, attention_layer & layer, ggml_tensor * qkv, ggml_tensor * table) {
    const int64_t width = (layer.plan->heads + layer.plan->kv_heads) * layer.plan->head_width;
    return custom_node(ctx, "turn heads", width, qkv->ne[1], { qkv, table }, turn_heads_op, &layer);
}

ggml_tensor * attention(ggml_context * ctx, attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv) {
    const int64_t queries = layer.plan->heads * layer.plan->head_width;
    return custom_node(ctx, "attention", queries, qk->ne[1], { qk, qkv }, attention_op, &layer);
}

ggml_tensor * attention_back(ggml_context * ctx, attention_layer & layer, ggml_tensor * qk, ggml_tensor * qkv,
                             ggml_tensor * dout, ggml_tensor * table, int threads) {
    const auto &  plan    = *layer.plan;
    const int64_t queries = plan.heads * plan.head_width, keys = plan.kv_heads * plan.head_width;
    auto * parts = custom_node(ctx, "attention back", queries + threads * 2 * keys, qk->ne[1], { qk, qkv, dout },
                               attention_back_op, &layer);
    return custom_node(ctx, "attention finish", queries + 2 * keys, qk->ne[1],
                       { parts, table, layer.q_norm.weight ? qkv : nullptr }, attention_finish_op, &layer);
}

}  // namespace inward
