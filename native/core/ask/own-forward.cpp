#include "ask/own-forward.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "ask/path-attention.h"
#include "inward/error.h"
#include "shared/row-kernels.h"

namespace inward {

namespace {

// Readers whose logits exist at once.
constexpr int64_t CHUNK_ROWS = 96;
// Pieces of a phase for each thread: enough for one that comes late not to be waited for.
constexpr int64_t PIECES = 8;
// Columns of a tile that are activated at once: they stay in the smallest cache until they are put into the tile.
constexpr int64_t ACT_COLUMNS = 512;
// Calls of each() in one layer, adapters, captures and interventions included.
constexpr size_t PHASES = 48;

}  // namespace

own_forward::own_forward(const engine_options & options, std::function<uint64_t()> free_memory)
    : weights_(options.model_path),
      free_memory_(std::move(free_memory)),
      team_(options.threads),
      f32_cache_(options.f32_cache) {
    const uint64_t available = free_memory_();
    if (weights_.bytes() > available) {
        throw error("ENGINE_MEMORY", "engine.forward own needs " + std::to_string(weights_.bytes() >> 20) +
                                         " MiB for the weights; there are " +
                                         std::to_string(available >> 20) + " MiB");
    }
    weights_.load(team_);
}

bool own_forward::make_room(int64_t cells, int, int64_t rows, bool) {
    const auto &  hp    = weights_.hparams;
    const int64_t added = adds_directly() && !keeps_additions() ? 0 : rows;
    // Groups differ by a few cells, and memory that is new is slow at first. What is far too large is given back.
    if (rows == most_rows_ && cells <= room_ && room_ <= 2 * cells && added <= added_room_) {
        parents_.assign(cells, -1);
        cells_ = cells;
        return true;
    }
    room_ = 0;
    const int64_t widest = std::max({ hp.embedding, hp.feed_forward, queries() });
    const int64_t of_cell = 2 * hp.layers * keys();
    std::vector<std::pair<float_block *, int64_t>> wanted = {
        { &store_, of_cell * cells },
        { &x_, rows * hp.embedding },
        { &read_x_, rows * hp.embedding },
        { &qkv_, rows * (queries() + 2 * keys()) },
        { &attended_, rows * queries() },
        { &gate_up_, rows * 2 * hp.feed_forward },
        { &added_, added * hp.embedding },
        { &packed_, rows * widest },
        { &logits_, std::min(rows, CHUNK_ROWS) * hp.vocabulary },
    };
    uint64_t bytes = 0;
    for (const auto & [block, floats] : wanted) {
        *block = float_block();
        bytes += sizeof(float) * (uint64_t) floats;
    }
    const uint64_t available = free_memory_();
    if (bytes > available) return false;
    // Place for the next group, which may be a little longer.
    const int64_t spare = bytes + bytes / 4 <= available ? cells / 8 : 0;
    wanted.front().second += of_cell * spare;
    try {
        for (const auto & [block, floats] : wanted) *block = float_block(floats);
        parents_.assign(cells, -1);
        const int64_t tile = kernels_here().most_rows * std::max(hp.embedding, ACT_COLUMNS);
        const int64_t scores = hp.heads / hp.kv_heads * score_row(cells + spare);
        scratch_.assign(team_.size(), std::vector<float>(std::max({ tile, widest, scores })));
        cells_      = cells;
        most_rows_  = rows;
        added_room_ = added;
        reserve_reduced();
        room_ = cells + spare;
    } catch (const std::bad_alloc &) {
        return false;
    }
    return true;
}

void own_forward::reserve_reduced() {
    reduced_        = float_block(most_rows_ * weights_.most_rank);
    packed_reduced_ = float_block(most_rows_ * weights_.most_rank);
}

void own_forward::set_adapters(const std::vector<adapter_choice> & chosen) {
    weights_.set_adapters(chosen);
    reserve_reduced();
}

// --- one evaluation

void own_forward::find_paths(const std::vector<queued> & rows) {
    path_cells_.clear();
    paths_.clear();
    readers_.clear();
    ending_.clear();
    captured_.clear();
    records_.clear();
    positions_.clear();
    chunk_ = -1;
    for (size_t r = 0; r < rows.size(); r++) {
        const auto & row = rows[r];
        if (row.owner < 0 || row.owner >= cells_) {
            throw error("ENGINE_CRASHED", "cell " + std::to_string(row.owner) + " is outside the cache");
        }
        parents_[row.owner] = row.parent;
        positions_.push_back(row.position);
        if (!row.readers.empty()) readers_.push_back((int32_t) r);
        records_.push_back(row.record.get());
        if (row.record) captured_.push_back({ (int64_t) r, -1, row.record.get() });
        // A token right after its parent goes on with the parent's path.
        const bool goes_on = r > 0 && row.parent == rows[r - 1].owner;
        if (goes_on) {
            paths_.push_back({ paths_.back().first, paths_.back().count + 1 });
        } else {
            const size_t first = path_cells_.size();
            for (int32_t cell = row.parent; cell >= 0; cell = parents_[cell]) path_cells_.push_back(cell);
            std::reverse(path_cells_.begin() + first, path_cells_.end());
            paths_.push_back({ first, (int64_t) (path_cells_.size() - first) + 1 });
        }
        path_cells_.push_back(row.owner);
        if (paths_.back().count != row.position + 1) {
            throw error("ENGINE_CRASHED", "the token at position " + std::to_string(row.position) + " has " +
                                              std::to_string(paths_.back().count - 1) + " before it");
        }
    }
    ending_ = readers_;
    if (captured_.empty() || !layout_->ends_late()) return;
    for (auto & one : captured_) {
        const auto found = std::lower_bound(readers_.begin(), readers_.end(), (int32_t) one.row);
        if (found != readers_.end() && *found == (int32_t) one.row) {
            one.ending = found - readers_.begin();
            continue;
        }
        one.ending = (int64_t) ending_.size();
        ending_.push_back((int32_t) one.row);
    }
}

void own_forward::find_edited(const std::vector<queued> & rows) {
    edited_.clear(weights_.hparams.layers);
    endings_.assign(rows.size(), -1);
    for (size_t i = 0; i < ending_.size(); i++) endings_[ending_[i]] = (int64_t) i;
    for (size_t r = 0; r < rows.size(); r++) {
        if (rows[r].edits) edited_.add((int64_t) r, *rows[r].edits, endings_[r] >= 0, rows[r].done);
    }
    reserve_edited();
}

void own_forward::set_layout(const state_layout * layout) {
    const auto & hp = weights_.hparams;
    if (layout && layout->layers() != hp.layers) {
        throw error("PROBE_SITE", "the model has " + std::to_string(hp.layers) + " layers, not " +
                                      std::to_string(layout->layers()));
    }
    for (int32_t i = 0; layout && i < (int32_t) layout->sites().size(); i++) {
        const auto & one = layout->sites()[i];
        if (one.width == width(one.part)) continue;
        throw error("PROBE_SITE", layout->name(i) + " has " + std::to_string(width(one.part)) + " numbers, not " +
                                      std::to_string(one.width));
    }
    layout_ = layout;
}

int64_t own_forward::width(state_part part) const {
    const auto & hp = weights_.hparams;
    if (part == state_part::head_values) return queries();
    return part == state_part::attention_weights ? hp.heads : hp.embedding;
}

void own_forward::check_edits(const edit_sets & edits) const {
    const int64_t layers = weights_.hparams.layers;
    if (edits.layers() != layers) {
        throw error("PROBE_SITE", "the model has " + std::to_string(layers) + " layers, not " + std::to_string(edits.layers()));
    }
    for (const auto & one : edits.all()) {
        if (one.width == width(one.part)) continue;
        throw error("PROBE_SITE", "a site of layer " + std::to_string(one.layer) + " that is written to has " +
                                      std::to_string(width(one.part)) + " numbers, not " + std::to_string(one.width));
    }
}

bool own_forward::keeps_additions() const {
    return layout_ && (layout_->any(state_part::attention_output) || layout_->any(state_part::mlp_output));
}

void own_forward::keep(team_member & member, state_part part, int64_t layer, const float * values, int64_t width,
                       float scale) {
    if (!wants(part, layer)) return;
    const int32_t site    = layout_->find(part, layer);
    const bool    ends    = is_late(part, layer);
    const int64_t records = (int64_t) captured_.size();
    member.each(records, piece(records), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const auto & one = captured_[i];
            one.record->put(site, 0, values + (ends ? one.ending : one.row) * width, width, scale);
        }
    });
}

void own_forward::edit(team_member & member, state_part part, int64_t layer, float * values, int64_t width) {
    if (!edited_.any(part, layer)) return;
    const auto &  rows  = edited_.at(part, layer);
    const int64_t count = (int64_t) rows.size();
    const bool    ends  = is_late(part, layer);
    member.each(count, piece(count), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const int64_t row = ends ? endings_[rows[i].row] : rows[i].row;
            rows[i].apply(part, layer, values + row * width);
        }
    });
}

// Room for as many rows as have something done to what one layer adds to them.
void own_forward::reserve_edited() {
    const auto & hp   = weights_.hparams;
    int64_t      most = 0;
    for (int64_t l = 0; edited_.any() && l < hp.layers; l++) {
        for (const auto part : { state_part::attention_output, state_part::mlp_output }) {
            most = std::max(most, (int64_t) edited_.at(part, l).size());
        }
    }
    const int64_t widest = std::max(hp.feed_forward, queries());
    const int64_t floats = (most > edited_room_ ? most * (widest + hp.embedding) : 0) +
                           (most > added_room_ ? most * hp.embedding : 0);
    if (floats == 0) return;
    const std::string needed = "interventions in " + std::to_string(most) + " tokens at once need " +
                               std::to_string(floats * sizeof(float) >> 20) + " MiB more than there are";
    if (floats * sizeof(float) > free_memory_()) throw error("ENGINE_MEMORY", needed);
    try {
        if (most > edited_room_) {
            before_        = float_block(most * hp.embedding);
            packed_edited_ = float_block(most * widest);
            edited_room_   = most;
        }
        if (most > added_room_) {
            added_      = float_block(most * hp.embedding);
            added_room_ = most;
        }
    } catch (const std::bad_alloc &) {
        edited_room_ = 0;
        throw error("ENGINE_MEMORY", needed);
    }
}

void own_forward::decode(const std::vector<queued> & rows, int64_t) {
    find_paths(rows);
    find_edited(rows);
    const auto & hp      = weights_.hparams;
    const auto & factors = weights_.rope_factors;
    const auto   turned  = [&](bool local) {
        return std::any_of(hp.of_layer.begin(), hp.of_layer.end(),
                           [&](const layer_traits & layer) { return layer.turns && layer.local == local; });
    };
    if (turned(false)) rope_table(angles_, positions_, hp.global_rope, factors.empty() ? nullptr : factors.data());
    if (turned(true)) rope_table(local_angles_, positions_, hp.local_rope, nullptr);
    team_.run(PHASES * (weights_.layers.size() + 1), [&](team_member & member) { forward(member, rows); });
}

int64_t own_forward::piece(int64_t count) const { return std::max<int64_t>(1, count / (team_.size() * PIECES)); }

void own_forward::forward(team_member & member, const std::vector<queued> & rows) {
    const auto &  hp       = weights_.hparams;
    const auto    gate_row = hp.gate == gate_kind::gelu ? geglu_row_looked_up : swiglu_row;
    int64_t       n  = (int64_t) rows.size();
    float *       x  = x_.data();
    member.each(n, piece(n), [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; r++) weights_.embedding.get(rows[r].token, x + r * hp.embedding);
        if (hp.embedding_scale == 1) return;
        scale_in_place(x + first * hp.embedding, (last - first) * hp.embedding, hp.embedding_scale);
    });
    for (int64_t l = 0; l < hp.layers; l++) {
        const auto & layer = weights_.layers[l];
        const bool   ends  = l + 1 == hp.layers;
        edit(member, state_part::residual_before, l, x, hp.embedding);
        keep(member, state_part::residual_before, l, x, hp.embedding);
        project(member, layer.qkv, normed(member, x, n, layer.attention_norm), qkv_.data(), false);
        keep_and_turn(member, l, rows);
        if (ends) {
            // From here on no token looks at another, and only those with readers are read, or kept.
            n = (int64_t) ending_.size();
            if (n == 0) return;
            float *      to    = read_x_.data();
            const size_t bytes = hp.embedding * sizeof(float);
            member.each(n, piece(n), [&](int64_t first, int64_t last) {
                for (int64_t r = first; r < last; r++) {
                    std::memcpy(to + r * hp.embedding, x + ending_[r] * hp.embedding, bytes);
                }
            });
            x = to;
        }
        attention(member, l, ends);
        edit(member, state_part::head_values, l, attended_.data(), queries());
        keep(member, state_part::head_values, l, attended_.data(), queries());
        const packed_rows attended(packed_.data(), n, queries());
        member.each(attended.tiles(), 1, [&](int64_t tile, int64_t) {
            attended.put_tile(tile, 0, queries(), attended_.data() + attended.first_row(tile) * queries(), queries());
        });
        add(member, l, true, attended, x);
        edit(member, state_part::residual_middle, l, x, hp.embedding);
        keep(member, state_part::residual_middle, l, x, hp.embedding);
        project(member, layer.gate_up, normed(member, x, n, layer.feed_forward_norm), gate_up_.data(), false);
        const packed_rows acted(packed_.data(), n, hp.feed_forward);
        const int64_t     cuts = (hp.feed_forward + ACT_COLUMNS - 1) / ACT_COLUMNS;
        member.each(acted.tiles() * cuts, 1, [&](int64_t unit, int64_t) {
            float *       act   = scratch_[member.number].data();
            const int64_t tile  = unit / cuts, column = unit % cuts * ACT_COLUMNS;
            const int64_t count = std::min(ACT_COLUMNS, hp.feed_forward - column);
            for (int64_t r = 0; r < acted.height(tile); r++) {
                const float * gate = gate_up_.data() + (acted.first_row(tile) + r) * 2 * hp.feed_forward + column;
                gate_row(gate, gate + hp.feed_forward, act + r * count, count);
            }
            acted.put_tile(tile, column, count, act, count);
        });
        add(member, l, false, acted, x);
        edit(member, state_part::residual_after, l, x, hp.embedding);
        keep(member, state_part::residual_after, l, x, hp.embedding);
    }
}

// As they are where there is no norm.
packed_rows own_forward::normed(team_member & member, const float * x, int64_t rows,
                                const std::vector<float> & weight) {
    const auto &      hp = weights_.hparams;
    const packed_rows made(packed_.data(), rows, hp.embedding);
    member.each(made.tiles(), 1, [&](int64_t tile, int64_t) {
        const float * from = x + made.first_row(tile) * hp.embedding;
        float *       h    = scratch_[member.number].data();
        for (int64_t r = 0; !weight.empty() && r < made.height(tile); r++) {
            norm_row(from + r * hp.embedding, weight.data(), h + r * hp.embedding, hp.embedding, hp.norm_epsilon);
        }
        made.put_tile(tile, 0, hp.embedding, weight.empty() ? from : h, hp.embedding);
    });
    return made;
}

bool own_forward::adds_directly() const {
    const auto & all = weights_.layers;
    return weights_.hparams.residual_scale == 1 && std::all_of(all.begin(), all.end(), [](const packed_layer & one) {
        return one.attention_post_norm.empty() && one.feed_forward_post_norm.empty();
    });
}

// x += norm(W in) * residual scale, of attention's output matrix or of the feed-forward's
void own_forward::add(team_member & member, int64_t l, bool attention, const packed_rows & in, float * x) {
    const auto & hp    = weights_.hparams;
    const auto & layer = weights_.layers[l];
    const auto & group = attention ? layer.o : layer.down;
    const auto & norm  = attention ? layer.attention_post_norm : layer.feed_forward_post_norm;
    const auto   part  = attention ? state_part::attention_output : state_part::mlp_output;
    const bool   keeps = wants(part, l) && !captured_.empty(), edits = edited_.any(part, l);
    if (edits) remember(member, part, l, in, x);
    if (norm.empty() && hp.residual_scale == 1) {
        // What is added is nowhere by itself then: it is computed once more, and the sum stays what it is.
        if (keeps || edits) {
            const packed_rows some(packed_edited_.data(), edits ? (int64_t) edited_.at(part, l).size() : 0, in.in());
            project(member, group, keeps ? in : some, added_.data(), false);
        }
        project(member, group, in, x, true);
        if (edits) change_added(member, part, l, !keeps, x);
        return keep(member, part, l, added_.data(), hp.embedding);
    }
    project(member, group, in, added_.data(), false);
    const int64_t n = in.rows();
    member.each(n, piece(n), [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; r++) {
            float * added = added_.data() + r * hp.embedding;
            if (!norm.empty()) norm_row(added, norm.data(), added, hp.embedding, hp.norm_epsilon);
            add_scaled(x + r * hp.embedding, added, hp.embedding, hp.residual_scale);
            // As it is added.
            if (edits) scale_in_place(added, hp.embedding, hp.residual_scale);
        }
    });
    if (edits) change_added(member, part, l, false, x);
    keep(member, part, l, added_.data(), hp.embedding, edits ? 1 : hp.residual_scale);
}

// Of edited rows: the sum as it is, and what will be projected and added to it.
void own_forward::remember(team_member & member, state_part part, int64_t layer, const packed_rows & in, const float * x) {
    const auto &      rows  = edited_.at(part, layer);
    const int64_t     count = (int64_t) rows.size(), width = weights_.hparams.embedding;
    const packed_rows some(packed_edited_.data(), count, in.in());
    member.each(count, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const int64_t row  = is_late(part, layer) ? endings_[rows[i].row] : rows[i].row;
            float *       made = scratch_[member.number].data();
            in.get(row, made);
            some.put(i, made);
            std::memcpy(before_.data() + i * width, x + row * width, width * sizeof(float));
        }
    });
}

// Numbers that an edit leaves as they are leave the sum as it is, to the last bit.
void own_forward::change_added(team_member & member, state_part part, int64_t layer, bool compact, float * x) {
    const auto &  rows  = edited_.at(part, layer);
    const int64_t count = (int64_t) rows.size(), width = weights_.hparams.embedding;
    member.each(count, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const int64_t row    = is_late(part, layer) ? endings_[rows[i].row] : rows[i].row;
            float *       added  = added_.data() + (compact ? i : row) * width;
            float *       was    = scratch_[member.number].data();
            const float * before = before_.data() + i * width;
            std::memcpy(was, added, width * sizeof(float));
            rows[i].apply(part, layer, added);
            for (int64_t c = 0; c < width; c++) {
                if (std::memcmp(added + c, was + c, sizeof(float)) != 0) x[row * width + c] = before[c] + added[c];
            }
        }
    });
}

// Norms and turns queries in place, and puts keys, normed and turned too, and values where their cells are.
void own_forward::keep_and_turn(team_member & member, int64_t layer, const std::vector<queued> & rows) {
    const auto &  hp     = weights_.hparams;
    const auto &  of     = weights_.layers[layer];
    const auto &  traits = hp.of_layer[layer];
    const auto &  rope   = hp.rope(layer);
    const float * angles = (traits.local ? local_angles_ : angles_).data();
    const int64_t width  = queries() + 2 * keys(), n = (int64_t) rows.size();
    // Over the numbers of each head, or of all heads, whichever the weight is for.
    const auto norm_heads = [&](float * heads, int64_t numbers, const std::vector<float> & norm) {
        const int64_t normed = (int64_t) norm.size();
        for (int64_t i = 0; normed > 0 && i < numbers; i += normed) {
            norm_row(heads + i, norm.data(), heads + i, normed, hp.norm_epsilon);
        }
    };
    member.each(n, piece(n), [&](int64_t first, int64_t last) {
        std::vector<ggml_fp16_t> halves;
        for (int64_t r = first; r < last; r++) {
            float * q = qkv_.data() + r * width;
            norm_heads(q, queries(), of.q_norm);
            norm_heads(q + queries(), keys(), of.k_norm);
            if (traits.turns) {
                rotate_row(q, q, angles + r * rope.width, hp.heads + hp.kv_heads, hp.head_width, rope, 1);
            }
            for (const bool values : { false, true }) {
                float * to = kept(layer, values) + rows[r].owner * keys();
                std::memcpy(to, q + queries() + (values ? keys() : 0), keys() * sizeof(float));
                if (f32_cache_) continue;
                halves.resize(keys());
                ggml_fp32_to_fp16_row(to, halves.data(), keys());
                ggml_fp16_to_fp32_row(halves.data(), to, keys());
            }
        }
    });
}

void own_forward::attention(team_member & member, int64_t layer, bool ends) {
    const auto &   hp     = weights_.hparams;
    const int64_t  group  = hp.heads / hp.kv_heads, width = queries() + 2 * keys();
    const int64_t  n      = ends ? (int64_t) ending_.size() : (int64_t) paths_.size();
    const int64_t  window = hp.of_layer[layer].window;
    const int32_t  site   = captured_.empty() ? -1 : layout_->find(state_part::attention_weights, layer);
    cell_attention over{ group,   hp.head_width, hp.attention_scale, hp.attention_cap, nullptr,
                         nullptr, keys(),        nullptr,            0 };
    member.each(n * hp.kv_heads, piece(n * hp.kv_heads), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const int64_t to = i / hp.kv_heads, row = ends ? ending_[to] : to, head = i % hp.kv_heads;
            over.keys   = kept(layer, false) + head * hp.head_width;
            over.values = kept(layer, true) + head * hp.head_width;
            over.count  = window > 0 ? std::min(window, paths_[row].count) : paths_[row].count;
            over.cells  = path_cells_.data() + paths_[row].first + paths_[row].count - over.count;
            attend(over, qkv_.data() + row * width + head * group * hp.head_width, scratch_[member.number].data(),
                   attended_.data() + to * queries() + head * group * hp.head_width);
            if (site >= 0 && records_[row]) keep_weights(site, row, head, over, scratch_[member.number].data());
        }
    });
}

// Of the query heads of one key-value head; nothing is looked at outside the window.
void own_forward::keep_weights(int32_t site, int64_t row, int64_t head, const cell_attention & over,
                               const float * weights) {
    const int64_t      keys = paths_[row].count;
    std::vector<float> whole(keys);
    for (int64_t h = 0; h < over.group; h++) {
        const float * of_head = weights + h * score_row(over.count);
        std::copy(of_head, of_head + over.count, whole.end() - over.count);
        records_[row]->put(site, (head * over.group + h) * keys, whole.data(), keys);
    }
}

// A x of every pair, ready to be multiplied by B.
void own_forward::reduce(team_member & member, const packed_group & group, const packed_rows & x) {
    std::vector<std::pair<const packed_pair *, int64_t>> all;  // and the ranks before it
    int64_t ranks = 0;
    for (const auto & part : group.parts) {
        for (const auto & pair : part.pairs) {
            all.push_back({ &pair, ranks });
            ranks += pair.a.out();
        }
    }
    const int64_t rows = x.rows();
    member.each((int64_t) all.size() * x.tiles(), 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const auto & [pair, before] = all[i / x.tiles()];
            const int64_t tile = i % x.tiles(), rank = pair->a.out();
            pair->a.multiply(x, tile, tile + 1, 0, pair->a.panels(), false, reduced_.data() + rows * before, rank);
        }
    });
    member.each((int64_t) all.size() * x.tiles(), 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            const auto & [pair, before] = all[i / x.tiles()];
            const int64_t     tile = i % x.tiles(), rank = pair->a.out();
            const packed_rows to(packed_reduced_.data() + rows * before, rows, rank);
            to.put_tile(tile, 0, rank, reduced_.data() + rows * before + to.first_row(tile) * rank, rank, pair->scale);
        }
    });
}

// out = W x + bias + B A x of all parts side by side, or that added to it.
void own_forward::project(team_member & member, const packed_group & group, const packed_rows & x, float * out,
                          bool adds) {
    if (group.has_pairs()) reduce(member, group, x);
    const int64_t ld = group.out(), rows = x.rows(), step = kernels_here().panels_at_once(rows);
    int64_t       units = 0;
    for (const auto & part : group.parts) units += (part.weight.panels() + step - 1) / step;
    const auto begins = [&](int64_t unit) -> const uint8_t * {
        for (const auto & part : group.parts) {
            if (unit * step < part.weight.panels()) return part.weight.panel(unit * step);
            unit -= (part.weight.panels() + step - 1) / step;
        }
        return nullptr;
    };
    member.each_and_next(units, piece(units), [&](int64_t first, int64_t last, int64_t then) {
        int64_t before = 0, begin = 0, ranks = 0;
        for (const auto & part : group.parts) {
            const auto &  w  = part.weight;
            const int64_t u  = (w.panels() + step - 1) / step;
            const int64_t p0 = std::max<int64_t>(0, first - before) * step;
            const int64_t p1 = std::min(w.panels(), (last - before) * step);
            if (p0 < p1) {
                const int64_t c0 = p0 * PANEL, c1 = std::min(w.out(), p1 * PANEL);
                const bool    biased = !part.bias.empty();
                for (int64_t r = 0; biased && r < rows; r++) {
                    float * to = out + r * ld + begin;
                    for (int64_t c = c0; c < c1; c++) to[c] = (adds ? to[c] : 0) + part.bias[c];
                }
                w.multiply(x, 0, x.tiles(), p0, p1, adds || biased, out + begin, ld, begins(then));
            }
            for (const auto & pair : part.pairs) {
                const packed_rows reduced(packed_reduced_.data() + rows * ranks, rows, pair.a.out());
                if (p0 < p1) pair.b.multiply(reduced, 0, reduced.tiles(), p0, p1, true, out + begin, ld);
                ranks += pair.a.out();
            }
            before += u;
            begin += w.out();
        }
    });
}

int64_t own_forward::logits_at_once() const { return CHUNK_ROWS; }

const float * own_forward::logits(int32_t row) {
    const auto found = std::lower_bound(readers_.begin(), readers_.end(), row);
    if (found == readers_.end() || *found != row) return nullptr;
    const auto &  hp    = weights_.hparams;
    const int64_t index = found - readers_.begin();
    if (index / CHUNK_ROWS != chunk_) {
        chunk_              = index / CHUNK_ROWS;
        const int64_t begin = chunk_ * CHUNK_ROWS, rows = std::min(CHUNK_ROWS, (int64_t) readers_.size() - begin);
        team_.run(PHASES, [&](team_member & member) {
            const auto x = normed(member, read_x_.data() + begin * hp.embedding, rows, weights_.output_norm);
            project(member, weights_.output, x, logits_.data(), false);
            if (hp.logit_scale == 1 && hp.logit_cap == 0) return;
            member.each(rows, 1, [&](int64_t first, int64_t last) {
                float *       logits = logits_.data() + first * hp.vocabulary;
                const int64_t count  = (last - first) * hp.vocabulary;
                if (hp.logit_scale != 1) scale_in_place(logits, count, hp.logit_scale);
                if (hp.logit_cap != 0) cap_row(logits, logits, count, hp.logit_cap);
            });
        });
    }
    return logits_.data() + index % CHUNK_ROWS * hp.vocabulary;
}

}  // namespace inward
