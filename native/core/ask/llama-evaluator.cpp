#include "ask/llama-evaluator.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "gguf.h"
#include "inward/error.h"

namespace inward {

namespace {

constexpr int64_t CELL_STEP       = 256;  // llama.cpp pads the cache to this
constexpr int     LLAMA_SEQUENCES = 256;  // it has no more

}  // namespace

llama_evaluator::llama_evaluator(const llama_library & llama, llama_model * model, const engine_options & options,
                                 bool is_cpu)
    : llama_(llama), model_(model), options_(options), is_cpu_(is_cpu) {}

void llama_evaluator::set_probe(graph_probe * probe, bool captures) {
    probe_    = probe;
    captures_ = captures;
    // Its graph was made for another.
    if (context_) llama_.free(context_);
    context_ = nullptr;
}

void llama_evaluator::check_edits(const edit_sets & edits) const {
    const int64_t layers = llama_.model_n_layer(model_);
    if (edits.layers() == layers) return;
    throw error("PROBE_SITE", "the model has " + std::to_string(layers) + " layers, not " + std::to_string(edits.layers()));
}

llama_evaluator::~llama_evaluator() {
    if (context_) llama_.free(context_);  // the adapters are the model's
}

llama_context_params llama_evaluator::context_params() const {
    auto params            = llama_.context_default_params();
    params.n_threads       = options_.threads;
    params.n_threads_batch = options_.threads;
    const bool flash       = options_.flash_attention && !options_.strict;
    params.flash_attn_type = flash ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = params.type_v = options_.f32_cache ? GGML_TYPE_F32 : GGML_TYPE_F16;
    // Of what a window has left behind, a text that shares the beginning still sees some.
    params.swa_full        = true;
    params.yarn_orig_ctx   = (uint32_t) options_.short_context;
    params.offload_kqv     = !is_cpu_;
    params.op_offload      = !is_cpu_;
    if (probe_) {
        params.cb_eval           = graph_probe::callback;
        params.cb_eval_user_data = probe_;
    }
    return params;
}

bool llama_evaluator::make_room(int64_t cells, int sequences, int64_t rows, bool separate) {
    if (context_) llama_.free(context_);
    separate_            = separate;
    auto          params = context_params();
    const bool    one_shape = options_.invariant && !options_.strict;
    // One more sequence, for rows that nobody asked for.
    const bool    filled = one_shape || options_.least_rows > 0;
    const int64_t own    = separate ? cells / sequences : cells + options_.least_rows;
    filler_              = filled ? sequences : -1;
    sequences += filled;
    // Those that are filled up come beside as many as there may be.
    rows                 = one_shape ? std::max(rows, options_.least_rows) : rows + options_.least_rows;
    piece_               = (own + CELL_STEP - 1) / CELL_STEP * CELL_STEP;
    params.n_ctx         = (uint32_t) (piece_ * (separate ? sequences : 1));
    params.n_batch       = (uint32_t) rows;
    params.n_ubatch      = (uint32_t) rows;
    params.n_seq_max     = (uint32_t) sequences;
    params.kv_unified    = !separate;
    context_             = llama_.init_from_model(model_, params);
    if (context_) apply_adapters();
    if (context_ && !control_.values.empty()) apply_control();
    lengths_.assign(one_shape ? sequences : 0, 0);
    if (context_ && one_shape) pin_filler(rows);
    return context_ != nullptr;
}

// How many cells llama.cpp looks at is what the longest sequence of a batch needs, and sums depend on how many there
// are: one sequence, whose cells nobody else sees, always reaches as far as the cache does.
void llama_evaluator::pin_filler(int64_t rows) {
    const int64_t most = piece_ - CELL_STEP;
    lengths_[filler_]  = 0;
    while (lengths_[filler_] < most) {
        const int64_t count = std::min(rows, most - lengths_[filler_]);
        lay_out({});
        for (int64_t i = 0; i < count; i++) {
            add_filler(filler_, lengths_[filler_]++);
            outputs_.back() = 0;
        }
        evaluate();
    }
}

void llama_evaluator::clear() {
    if (!context_) return;
    if (lengths_.empty()) {
        llama_.memory_clear(llama_.get_memory(context_), true);
        return;
    }
    for (int32_t s = 0; s < filler_; s++) release(s, 0);
}

void llama_evaluator::share(int32_t from, int32_t to, int32_t count) {
    auto * memory = llama_.get_memory(context_);
    if (!lengths_.empty()) lengths_[to] = count;
    if (!separate_) {
        llama_.memory_seq_cp(memory, from, to, 0, count);
        return;
    }
    // Between sequences with cells of their own llama.cpp copies whole ones only.
    llama_.memory_seq_cp(memory, from, to, -1, -1);
    remove(to, count);
}

void llama_evaluator::release(int32_t sequence, int32_t first) {
    remove(sequence, first);
    if (!lengths_.empty()) lengths_[sequence] = std::min(lengths_[sequence], first);
    // Where the next item's cells lie must not depend on those before.
    if (options_.strict) llama_.memory_clear(llama_.get_memory(context_), false);
}

void llama_evaluator::remove(int32_t sequence, int32_t first) {
    if (llama_.memory_seq_rm(llama_.get_memory(context_), sequence, first, -1)) return;
    throw error("INTERNAL", "llama.cpp cannot take the tokens from " + std::to_string(first) + " on out of a sequence");
}

void llama_evaluator::apply_adapters() {
    if (context_ && llama_.set_adapters_lora(context_, adapters_.data(), adapters_.size(), scales_.data()) != 0) {
        throw error("ADAPTER_INVALID", "llama.cpp refuses the adapters for this context");
    }
}

void llama_evaluator::set_control_vector(const control_vector & vector) {
    const int32_t layers = llama_.model_n_layer(model_), width = llama_.model_n_embd(model_);
    const size_t  most   = (size_t) (layers - 1) * width;
    if (!vector.values.empty() && (vector.width != width || vector.values.size() > most || vector.values.size() % width != 0 ||
                                   vector.first < 1 || vector.last < vector.first)) {
        throw error("PROBE_INVALID", "a control vector of " + std::to_string(vector.values.size()) + " numbers, for layers " +
                                         std::to_string(vector.first) + " to " + std::to_string(vector.last) +
                                         ", is not of a model of " + std::to_string(layers) + " layers of " + std::to_string(width));
    }
    control_ = vector;
    if (context_) apply_control();
}

void llama_evaluator::apply_control() {
    const auto & values = control_.values;
    const float * data  = values.empty() ? nullptr : values.data();
    const int32_t status = llama_.set_adapter_cvec(context_, data, values.size(), control_.width, control_.first, control_.last);
    if (status != 0) throw error("PROBE_INVALID", "llama.cpp refuses the control vector");
}

// One token in a context of its own.
void llama_evaluator::try_token(ggml_backend_sched_eval_callback look, void * data, llama_adapter_lora * adapter) const {
    auto params              = context_params();
    params.n_ctx             = CELL_STEP;
    params.n_batch           = 1;
    params.n_ubatch          = 1;
    params.n_seq_max         = 1;
    params.cb_eval           = look;
    params.cb_eval_user_data = data;
    const std::unique_ptr<llama_context, decltype(llama_.free)> trial(llama_.init_from_model(model_, params), llama_.free);
    if (!trial) throw error("ENGINE_MEMORY", "there is no memory to try one token");
    float scale = 1;
    if (adapter && llama_.set_adapters_lora(trial.get(), &adapter, 1, &scale) != 0) {
        throw error("ADAPTER_INVALID", "llama.cpp refuses an adapter that it has loaded");
    }
    llama_token  token = 0;
    llama_batch  batch{};
    batch.n_tokens = 1;
    batch.token    = &token;
    const int32_t status = llama_.decode(trial.get(), batch);
    if (status != 0) throw error("ENGINE_CRASHED", "llama_decode ended with " + std::to_string(status) + " on one token");
}

void llama_evaluator::learn_beginning() {
    probe_->learn_beginning(0);
    try_token(graph_probe::callback, probe_, nullptr);
    probe_->require_seen();
}

// llama.cpp loads a pair beside any matrix, and passes over those of matrices that its graph of the architecture multiplies
// without asking for one. One token is evaluated, and each of the adapter's tensors must be read on the way.
void llama_evaluator::require_used(const adapter_choice & choice, llama_adapter_lora * adapter) const {
    gguf_context * header = gguf_init_from_file(choice.path.c_str(), { /*no_alloc*/ true, nullptr });
    if (!header) throw error("ADAPTER_INVALID", choice.path + " cannot be read as a GGUF file");
    std::set<std::string> unread;
    for (int64_t i = 0; i < gguf_get_n_tensors(header); i++) unread.insert(gguf_get_tensor_name(header, i));
    gguf_free(header);

    const auto look = [](ggml_tensor * node, bool, void * names) {
        for (const auto * source : node->src) {
            if (!source) continue;
            ((std::set<std::string> *) names)->erase((source->view_src ? source->view_src : source)->name);
        }
        return false;  // its numbers are not asked for
    };
    try_token(look, &unread, adapter);
    if (unread.empty()) return;
    throw error("ADAPTER_INVALID", choice.path + " has " + *unread.begin() + (unread.size() == 1 ? "" : " and others") +
                                       ", which llama.cpp loads and leaves out of this model's computation");
}

void llama_evaluator::set_adapters(const std::vector<adapter_choice> & chosen) {
    std::vector<llama_adapter_lora *> made;
    for (const auto & one : chosen) {
        const log_keeper log(llama_);
        auto * loaded = llama_.adapter_lora_init(model_, one.path.c_str());
        if (!loaded) {
            for (auto * earlier : made) llama_.adapter_lora_free(earlier);
            throw error("ADAPTER_INVALID", one.path + " cannot be loaded onto this model: " + log.said());
        }
        made.push_back(loaded);
        try {
            require_used(one, loaded);
        } catch (...) {
            for (auto * earlier : made) llama_.adapter_lora_free(earlier);
            throw;
        }
    }
    const auto old = std::move(adapters_);
    adapters_      = std::move(made);
    scales_.clear();
    for (const auto & one : chosen) scales_.push_back(one.scale);
    apply_adapters();
    for (auto * one : old) llama_.adapter_lora_free(one);
}

void llama_evaluator::decode(const std::vector<queued> & rows, int64_t each) {
    if (probe_) return decode_seen(rows);
    if (each > 0) fill_up_each(rows, each);
    else fill_up(rows);
    evaluate();
    take_filler_back(rows, each);
}

// Where each sequence has cells of its own, llama.cpp puts rows into an order of its own: then each sequence's are given alone.
void llama_evaluator::decode_seen(const std::vector<queued> & rows) {
    const bool alone = separate_ || llama_.model_is_recurrent(model_) || llama_.model_is_hybrid(model_);
    const auto begins = [](const state_edit * one) { return one->part == state_part::residual_before && one->layer == 0; };
    for (const auto & row : rows) {
        if (probe_->knows_beginning() || !row.edits || std::none_of(row.edits->begin(), row.edits->end(), begins)) continue;
        learn_beginning();
    }
    std::vector<queued> some;
    std::vector<bool>   done(rows.size(), false);
    kept_logits_.clear();
    kept_rows_.assign(alone && !captures_ ? rows.size() : 0, -1);
    for (size_t begin = 0; begin < rows.size(); begin++) {
        if (done[begin]) continue;
        some.clear();
        std::vector<size_t> numbers;
        for (size_t i = begin; i < rows.size(); i++) {
            if (done[i] || (alone && rows[i].sequences.front() != rows[begin].sequences.front())) continue;
            done[i] = true;
            some.push_back(rows[i]);
            numbers.push_back(i);
        }
        fill_up(some);
        std::vector<token_states *>      records(tokens_.size());
        std::vector<const token_edits *> edits(tokens_.size());
        std::vector<int32_t *>           edits_done(tokens_.size());
        for (size_t i = 0; i < some.size(); i++) {
            if (captures_) records[places_[i]] = some[i].record.get();
            edits[places_[i]]      = some[i].edits;
            edits_done[places_[i]] = some[i].done;
        }
        probe_->expect(tokens_, outputs_, std::move(records), edits, edits_done);
        evaluate();
        probe_->require_seen();
        if (!kept_rows_.empty()) keep_logits(numbers);
        take_filler_back(some, 0);
    }
}

// Before the next sequence's are made in their place.
void llama_evaluator::keep_logits(const std::vector<size_t> & rows) {
    const int64_t vocabulary = llama_.vocab_n_tokens(llama_.model_get_vocab(model_));
    for (size_t i = 0; i < rows.size(); i++) {
        if (!outputs_[places_[i]]) continue;
        const float * logits = llama_.get_logits_ith(context_, places_[i]);
        if (!logits) throw error("ENGINE_CRASHED", "there are no logits for row " + std::to_string(rows[i]));
        kept_rows_[rows[i]] = (int64_t) kept_logits_.size() / vocabulary;
        kept_logits_.insert(kept_logits_.end(), logits, logits + vocabulary);
    }
}

// The batch of these rows alone.
void llama_evaluator::lay_out(const std::vector<queued> & rows) {
    tokens_.clear();
    positions_.clear();
    counts_.clear();
    sequences_.clear();
    outputs_.clear();
    places_.clear();
    // Pointers into it stay: every row that is filled up has one of these.
    if (names_.empty()) {
        names_.resize(LLAMA_SEQUENCES);
        for (size_t i = 0; i < names_.size(); i++) names_[i] = (llama_seq_id) i;
    }
    for (const auto & row : rows) {
        places_.push_back((int32_t) tokens_.size());
        tokens_.push_back(row.token);
        positions_.push_back(row.position);
        counts_.push_back((int32_t) row.sequences.size());
        // llama_batch has no const; it is only read.
        sequences_.push_back(const_cast<llama_seq_id *>(row.sequences.data()));
        outputs_.push_back(captures_ ? row.record != nullptr : !row.readers.empty());
    }
}

void llama_evaluator::add_filler(llama_seq_id sequence, int32_t position) {
    tokens_.push_back(0);
    positions_.push_back(position);
    counts_.push_back(1);
    sequences_.push_back(&names_[sequence]);
    outputs_.push_back(1);
}

// As many rows, and rows with logits, as the device's exact kernels want.
void llama_evaluator::fill_up(const std::vector<queued> & rows) {
    lay_out(rows);
    const int64_t with_logits = std::count(outputs_.begin(), outputs_.end(), 1);
    if (filler_ < 0 || with_logits == 0) return;
    for (int32_t i = 0; with_logits + i < options_.least_rows; i++) add_filler(filler_, i);
}

// Every sequence has so many rows, and every row its logits: each product has the same shape each time.
void llama_evaluator::fill_up_each(const std::vector<queued> & rows, int64_t each) {
    lay_out({});
    places_.assign(rows.size(), -1);
    size_t at = 0;
    for (int32_t s = 0; s <= filler_; s++) {
        int64_t own = 0;
        for (; at < rows.size() && rows[at].sequences.front() == s; at++, own++) {
            add_filler(s, rows[at].position);
            tokens_.back() = rows[at].token;
            places_[at]    = (int32_t) tokens_.size() - 1;
        }
        lengths_[s] += (int32_t) own;
        for (int64_t i = own; i < each; i++) add_filler(s, lengths_[s] + (int32_t) (i - own));
    }
    if (at < rows.size()) throw error("INTERNAL", "rows of a batch of one shape do not stand in the order of sequences");
}

void llama_evaluator::take_filler_back(const std::vector<queued> & rows, int64_t each) {
    auto * memory = llama_.get_memory(context_);
    if (each == 0) {
        if (tokens_.size() > rows.size()) llama_.memory_seq_rm(memory, filler_, -1, -1);
        return;
    }
    for (int32_t s = 0; s <= filler_; s++) llama_.memory_seq_rm(memory, s, lengths_[s], -1);
}

void llama_evaluator::evaluate() {
    const size_t n = tokens_.size();
    llama_batch  batch{};
    batch.n_tokens = (int32_t) n;
    batch.token    = tokens_.data();
    batch.pos      = positions_.data();
    batch.n_seq_id = counts_.data();
    batch.seq_id   = sequences_.data();
    batch.logits   = outputs_.data();
    const int32_t status = llama_.decode(context_, batch);
    if (status == 1) throw error("ENGINE_MEMORY", "the KV cache has no room for " + std::to_string(n) + " tokens");
    if (status == -2) {
        throw error("ENGINE_MEMORY", "the device ran out of memory while evaluating " + std::to_string(n) + " tokens");
    }
    if (status != 0) throw error("ENGINE_CRASHED", "llama_decode ended with " + std::to_string(status));
}

const float * llama_evaluator::logits(int32_t row) {
    if (kept_rows_.empty()) return llama_.get_logits_ith(context_, places_[row]);
    if (kept_rows_[row] < 0) return nullptr;
    return kept_logits_.data() + kept_rows_[row] * llama_.vocab_n_tokens(llama_.model_get_vocab(model_));
}

}  // namespace inward
