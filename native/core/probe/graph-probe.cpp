#include "probe/graph-probe.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <unordered_set>

#include "ggml-backend.h"
#include "inward/error.h"

namespace inward {

namespace {

bool reads_tokens(const ggml_tensor * node) {
    return node->op == GGML_OP_GET_ROWS && std::string(node->src[1]->name).find("inp_tokens") != std::string::npos;
}

// What llama.cpp's graphs call the embeddings, scaled or normed or as they are.
constexpr const char * BEGINNINGS[] = { "embd", "inp_embd", "inp_embd_scaled", "inp_scaled", "inp_norm", "inpL",
                                        "embedding_output", "model.embed_tokens", "model.input_embed" };

std::vector<float> read_floats(const ggml_tensor * tensor) {
    std::vector<float> numbers(ggml_nelements(tensor));
    ggml_backend_tensor_get(tensor, numbers.data(), 0, numbers.size() * sizeof(float));
    return numbers;
}

// The same numbers under another shape.
bool is_view(const ggml_tensor * node) {
    const auto ops = { GGML_OP_NONE, GGML_OP_VIEW, GGML_OP_RESHAPE, GGML_OP_PERMUTE, GGML_OP_TRANSPOSE };
    return std::find(ops.begin(), ops.end(), node->op) != ops.end();
}

std::string named(const char * name, int64_t layer) { return std::string(name) + "-" + std::to_string(layer); }

// Whether a walk back from `tensor` meets one that `found` says yes to; it goes no further than where `ends` says yes.
template <typename Found, typename Original>
bool walk(const ggml_tensor * tensor, const Found & found, const ggml_tensor * end, const Original & original) {
    std::vector<const ggml_tensor *>        next{ tensor };
    std::unordered_set<const ggml_tensor *> seen;
    while (!next.empty()) {
        const auto * one = original(next.back());
        next.pop_back();
        if (found(one)) return true;
        if (one == end || !seen.insert(one).second) continue;
        for (const auto * source : one->src) {
            if (source) next.push_back(source);
        }
    }
    return false;
}

}  // namespace

bool graph_probe::callback(ggml_tensor * node, bool ask, void * data) {
    auto & probe = *(graph_probe *) data;
    if (ask) return probe.wanted(node);
    for (const auto & [part, layer] : probe.next_) probe.meet(part, layer, node);
    probe.next_.clear();
    if (probe.is_beginning_) {
        if (probe.edited_.any(state_part::residual_before, 0) && node->name == probe.beginning_) {
            probe.write(state_part::residual_before, 0, node);
            probe.written_beginning_ = node;
        }
        probe.beginnings_[node] = read_floats(node);
    }
    probe.is_beginning_ = false;
    // Anything else would end the evaluation here.
    return true;
}

void graph_probe::learn_beginning(int32_t token) {
    expect({ token }, { 1 }, { nullptr }, { nullptr }, { nullptr });
    any_ = learns_ = true;
}

void graph_probe::expect(const std::vector<int32_t> & tokens, const std::vector<int8_t> & outputs,
                         std::vector<token_states *> records, const std::vector<const token_edits *> & edits,
                         const std::vector<int32_t *> & done) {
    records_ = std::move(records);
    tokens_  = tokens;
    output_rows_.assign(records_.size(), -1);
    outputs_ = 0;
    learns_  = false;
    edited_.clear(layout_.layers());
    bool recorded = false;
    for (size_t i = 0; i < records_.size(); i++) {
        recorded = recorded || records_[i];
        if (outputs[i]) output_rows_[i] = outputs_++;
        else if (records_[i]) throw error("INTERNAL", "a captured row has no output");
        if (edits[i]) edited_.add((int64_t) i, *edits[i], outputs[i], done[i]);
    }
    any_ = recorded || edited_.any();
    taken_.assign(layout_.sites().size(), !recorded);
    written_.assign(layout_.layers() * STATE_PARTS, false);
    fault_.clear();
    nodes_.clear();
    has_tokens_ = false;
    layer_      = 0;
    before_ = heads_ = middle_ = nullptr;
    next_.clear();
    read_.clear();
    last_ = nullptr;
    beginnings_.clear();
    is_beginning_ = found_beginning_ = false;
    written_beginning_ = nullptr;
}

void graph_probe::require_seen() const {
    const std::string graph = "llama.cpp's graph of " + architecture_;
    if (!fault_.empty()) throw error("PROBE_SITE", graph + ": " + fault_);
    if (!any_) return;
    if (!has_tokens_) throw error("PROBE_SITE", graph + " does not say which tokens it reads");
    for (size_t i = 0; i < taken_.size(); i++) {
        if (!taken_[i]) throw error("PROBE_SITE", graph + " has no " + layout_.name((int32_t) i));
    }
    if (learns_ && beginning_.empty()) throw error("PROBE_SITE", graph + " does not tell what its first layer begins with");
    for (int64_t l = 0; l < layout_.layers(); l++) {
        for (int32_t p = 0; p < STATE_PARTS; p++) {
            if (!edited_.any((state_part) p, l) || written_[l * STATE_PARTS + p]) continue;
            throw error("PROBE_SITE", graph + " has no " + site_name((state_part) p, l) + " to write to");
        }
    }
    if (edited_.any(state_part::residual_before, 0) && !found_beginning_) {
        throw error("PROBE_SITE", graph + " does not show that what was written to is what its first layer begins with");
    }
}

void graph_probe::fail(const std::string & what) {
    if (fault_.empty()) fault_ = what;
}

// Between devices the scheduler makes copies: "CUDA0#l_out-3#0".
const ggml_tensor * graph_probe::original(const ggml_tensor * tensor) const {
    const std::string name  = tensor->name;
    const size_t      first = name.find('#'), last = name.rfind('#');
    if (first == std::string::npos || first == last) return tensor;
    const auto found = nodes_.find(name.substr(first + 1, last - first - 1));
    return found == nodes_.end() ? tensor : found->second;
}

// What rows with logits were chosen from.
const ggml_tensor * graph_probe::before_choice(const ggml_tensor * tensor) const {
    const auto * one = original(tensor);
    if (one->op != GGML_OP_GET_ROWS || one->src[1]->type != GGML_TYPE_I32 || reads_tokens(one)) return one;
    std::vector<int32_t> chosen(ggml_nelements(one->src[1])), wanted;
    ggml_backend_tensor_get(one->src[1], chosen.data(), 0, chosen.size() * sizeof(int32_t));
    for (size_t i = 0; i < output_rows_.size(); i++) {
        if (output_rows_[i] >= 0) wanted.push_back((int32_t) i);
    }
    return chosen == wanted ? original(one->src[0]) : one;
}

bool graph_probe::depends(const ggml_tensor * tensor, const ggml_tensor * on) const {
    return walk(tensor, [on](const ggml_tensor * one) { return one == on; }, before_,
                [this](const ggml_tensor * one) { return original(one); });
}

bool graph_probe::depends_on_tokens(const ggml_tensor * tensor) const {
    return walk(tensor, [](const ggml_tensor * one) { return std::string(one->name).find("inp_tokens") != std::string::npos; },
                nullptr, [this](const ggml_tensor * one) { return original(one); });
}

bool graph_probe::wants_inside() const {
    for (const auto part : { state_part::attention_output, state_part::residual_middle, state_part::mlp_output }) {
        if (wants(part, layer_)) return true;
    }
    return layer_ == 0 && wants(state_part::residual_before, 0);
}

bool graph_probe::wants(state_part part, int64_t layer) const {
    if (layer >= layout_.layers()) return false;
    return layout_.find(part, layer) >= 0 || edited_.any(part, layer) ||
           (learns_ && layer == 0 && part == state_part::residual_before);
}

void graph_probe::want_next(state_part part, int64_t layer) {
    if (wants(part, layer)) next_.push_back({ part, layer });
}

void graph_probe::remember_read(const ggml_tensor * node) {
    if (!node || is_view(node)) return;
    for (const auto * source : node->src) {
        if (!source) continue;
        read_.insert(original(source));
        if (source->view_src) read_.insert(source->view_src);
    }
}

void graph_probe::begins_with(const ggml_tensor * node) {
    found_beginning_ = true;
    if (learns_) beginning_ = node->name;
    if (edited_.any(state_part::residual_before, 0) && written_beginning_ != node) {
        fail(std::string("layer 0 begins with ") + node->name + ", and " + beginning_ + " was written to");
    }
}

// Whether the node's numbers are to be seen, or those of all before it.
bool graph_probe::wanted(ggml_tensor * node) {
    next_.clear();
    nodes_[node->name] = node;
    if (!any_ || layer_ >= layout_.layers()) return false;
    remember_read(last_);
    last_ = node;
    if (!has_tokens_ && reads_others(node)) fail("its rows are not the tokens that were given, in their order");
    if (may_begin(node)) {
        is_beginning_ = true;
        return true;
    }
    if (node->name == named("kq_soft_max", layer_)) {
        want_next(state_part::attention_weights, layer_);
        return !next_.empty();
    }
    if (node->name == named("kqv_out", layer_)) {
        heads_ = node;
        want_next(state_part::head_values, layer_);
        return !next_.empty() || wants_inside();
    }
    if (node->name == named("l_out", layer_)) {
        end_layer(node);
        return !next_.empty();
    }
    if (heads_ && !middle_ && is_middle(node)) return true;
    // Sources of a sum are there when the sum is next: what comes before it must have been computed by then.
    return heads_ && wants_inside();
}

// Whether it reads tokens, and other ones than were given.
bool graph_probe::reads_others(const ggml_tensor * node) {
    if (!reads_tokens(node)) return false;
    has_tokens_      = true;
    const auto * ids = node->src[1];
    std::vector<int32_t> read(ggml_nelements(ids));
    ggml_backend_tensor_get(ids, read.data(), 0, read.size() * sizeof(int32_t));
    return read != tokens_;
}

// What the first layer may begin with; which one it is, the sum at its end tells.
bool graph_probe::may_begin(const ggml_tensor * node) const {
    if (layer_ > 0 || heads_ || !wants(state_part::residual_before, 0)) return false;
    const auto is_it = [node](const char * name) { return std::strcmp(node->name, name) == 0; };
    return (std::any_of(std::begin(BEGINNINGS), std::end(BEGINNINGS), is_it) || is_it(beginning_.c_str())) &&
           node->type == GGML_TYPE_F32 && ggml_is_contiguous(node);
}

// Where nothing was found between attention and feed-forward: of all that the end of the first layer is the sum of, what all the
// other parts depend on.
void graph_probe::take_beginning(const ggml_tensor * end) {
    const int32_t site = layout_.find(state_part::residual_before, 0);
    if (found_beginning_ || !wants(state_part::residual_before, 0)) return;
    std::vector<const ggml_tensor *> next{ end }, parts;
    while (!next.empty()) {
        const auto * one = before_choice(next.back());
        next.pop_back();
        const bool is_sum = one->op == GGML_OP_ADD && ggml_are_same_shape(one->src[0], one->src[1]) &&
                            beginnings_.find(one) == beginnings_.end();
        if (!is_sum) parts.push_back(one);
        else next.insert(next.end(), { one->src[0], one->src[1] });
    }
    for (const auto * part : parts) {
        const auto found = beginnings_.find(part);
        bool       all   = found != beginnings_.end();
        for (const auto * other : parts) all = all && depends(other, part);
        if (!all) continue;
        begins_with(part);
        if (site < 0) return;
        taken_[site] = true;
        return put(site, found->second, ggml_nrows(part), part->ne[0]);
    }
}

// The sum of the residual and of something that attention went into.
bool graph_probe::is_middle(ggml_tensor * node) {
    if (node->op != GGML_OP_ADD || !ggml_are_same_shape(node->src[0], node->src[1])) return false;
    for (const int residual : { 0, 1 }) {
        const auto * from  = before_choice(node->src[residual]);
        const auto * added = node->src[1 - residual];
        const bool   goes_on = before_ ? from == before_ : !depends(from, heads_) && depends_on_tokens(from);
        if (!goes_on || !depends(added, heads_)) continue;
        middle_ = node;
        meet(state_part::attention_output, layer_, added);
        if (layer_ == 0 && wants(state_part::residual_before, 0)) {
            begins_with(from);
            take_at(state_part::residual_before, 0, node->src[residual]);
        }
        want_next(state_part::residual_middle, layer_);
        return true;
    }
    return false;
}

void graph_probe::end_layer(ggml_tensor * node) {
    if (layer_ == 0) take_beginning(node);
    if (middle_) {
        const bool first = node->op == GGML_OP_ADD && original(node->src[0]) == middle_;
        const bool second = node->op == GGML_OP_ADD && original(node->src[1]) == middle_;
        const auto * added = first ? node->src[1] : second ? node->src[0] : nullptr;
        if (added && depends(added, middle_)) {
            meet(state_part::mlp_output, layer_, added);
        } else if (wants_inside()) {
            // Attention and feed-forward may both read the residual before: then there is nothing between them.
            fail("layer " + std::to_string(layer_) + " does not end with the sum of what comes before its feed-forward and of "
                 "what that adds");
        }
    }
    want_next(state_part::residual_after, layer_);
    want_next(state_part::residual_before, layer_ + 1);
    before_ = node;
    heads_ = middle_ = nullptr;
    layer_++;
}

void graph_probe::take_at(state_part part, int64_t layer, const ggml_tensor * tensor) {
    const int32_t site = layout_.find(part, layer);
    if (site >= 0) take(tensor, site);
}

void graph_probe::meet(state_part part, int64_t layer, const ggml_tensor * tensor) {
    if (edited_.any(part, layer)) write(part, layer, tensor);
    take_at(part, layer, tensor);
}

void graph_probe::write(state_part part, int64_t layer, const ggml_tensor * tensor) {
    const std::string name = site_name(part, layer);
    const int64_t     rows = (int64_t) records_.size(), found = ggml_nrows(tensor), width = tensor->ne[0];
    written_[layer * STATE_PARTS + (int32_t) part] = true;
    if (tensor->type != GGML_TYPE_F32 || !ggml_is_contiguous(tensor)) {
        return fail(name + " is of " + ggml_type_name(tensor->type) + ", or does not lie in one piece");
    }
    if (read_.count(tensor) || (tensor->view_src && read_.count(tensor->view_src))) {
        return fail(name + " was read before it could be written to");
    }
    std::vector<float> state(width);
    for (const auto & edited : edited_.at(part, layer)) {
        const int64_t at = found == rows ? edited.row : found == outputs_ ? output_rows_[edited.row] : -1;
        for (const auto * one : *edited.edits) {
            if (one->part != part || one->layer != layer || (one->width == width && at >= 0)) continue;
            return fail(name + " is [" + std::to_string(width) + ", " + std::to_string(found) + "] for " + std::to_string(rows) +
                        " tokens of " + std::to_string(one->width) + " numbers");
        }
        ggml_backend_tensor_get(tensor, state.data(), at * width * sizeof(float), width * sizeof(float));
        edited.apply(part, layer, state.data());
        // The graph has it as const; its numbers are not.
        ggml_backend_tensor_set(const_cast<ggml_tensor *>(tensor), state.data(), at * width * sizeof(float), width * sizeof(float));
    }
}

void graph_probe::take(const ggml_tensor * tensor, int32_t site) {
    const auto & one = layout_.sites()[site];
    taken_[site]     = true;
    if (one.part == state_part::attention_weights) return take_weights(tensor, site);
    if (tensor->type != GGML_TYPE_F32 || !ggml_is_contiguous(tensor)) {
        return fail(layout_.name(site) + " is of " + ggml_type_name(tensor->type) + ", or does not lie in one piece");
    }
    put(site, read_floats(tensor), ggml_nrows(tensor), tensor->ne[0]);
}

// found: rows, of all tokens or of those with logits
void graph_probe::put(int32_t site, const std::vector<float> & numbers, int64_t found, int64_t width) {
    const int64_t rows = (int64_t) records_.size(), wanted = layout_.sites()[site].width;
    if (width != wanted || (found != rows && found != outputs_)) {
        return fail(layout_.name(site) + " is [" + std::to_string(width) + ", " + std::to_string(found) + "] for " +
                    std::to_string(rows) + " tokens of " + std::to_string(wanted) + " numbers");
    }
    for (int64_t r = 0; r < rows; r++) {
        if (!records_[r]) continue;
        records_[r]->put(site, 0, numbers.data() + (found == rows ? r : output_rows_[r]) * width, width);
    }
}

// One text alone lies in the cache, from its first cell on, each token's key in the cell of its position.
void graph_probe::take_weights(const ggml_tensor * tensor, int32_t site) {
    const int64_t rows = (int64_t) records_.size(), heads = layout_.sites()[site].width, cells = tensor->ne[0];
    if (tensor->type != GGML_TYPE_F32 || !ggml_is_contiguous(tensor) || tensor->ne[1] != rows || tensor->ne[2] != heads ||
        tensor->ne[3] != 1) {
        return fail(layout_.name(site) + " is not one row of each head for each token");
    }
    const auto numbers = read_floats(tensor);
    for (int64_t r = 0; r < rows; r++) {
        if (!records_[r]) continue;
        const int64_t keys = records_[r]->position() + 1;
        for (int64_t h = 0; h < heads; h++) {
            const float * row = numbers.data() + (h * rows + r) * cells;
            for (int64_t c = keys; c < cells; c++) {
                if (row[c] != 0) return fail(layout_.name(site) + " looks at cells beyond the text's own");
            }
            records_[r]->put(site, h * keys, row, keys);
        }
    }
}

}  // namespace inward
