#include "ask/llama-states.h"

#include "inward/error.h"

namespace inward {

llama_states::llama_states(const llama_library & llama, llama_model * model, const engine_options & options, bool is_cpu)
    : llama_(llama), model_(model), is_cpu_(is_cpu), options_(options), asked_(llama, model, options, is_cpu) {
    // Rows that fill up are for logits that are the same in any company.
    options_.invariant  = false;
    options_.least_rows = 0;
}

bool llama_states::make_room(int64_t cells, int sequences, int64_t rows, bool separate) {
    return asked_.make_room(cells, sequences, rows, separate) &&
           (!seen_ || seen_->make_room(cells, sequences, rows, separate));
}

void llama_states::clear() {
    asked_.clear();
    if (seen_) seen_->clear();
}

void llama_states::share(int32_t from, int32_t to, int32_t count) {
    if (asks()) asked_.share(from, to, count);
    if (seen_) seen_->share(from, to, count);
}

void llama_states::release(int32_t sequence, int32_t first) {
    if (asks()) asked_.release(sequence, first);
    if (seen_) seen_->release(sequence, first);
}

void llama_states::set_adapters(const std::vector<adapter_choice> & chosen) {
    asked_.set_adapters(chosen);
    if (seen_) seen_->set_adapters(chosen);
    adapters_ = chosen;
}

void llama_states::set_control_vector(const control_vector & vector) {
    asked_.set_control_vector(vector);
    if (seen_) seen_->set_control_vector(vector);
    control_ = vector;
}

void llama_states::decode(const std::vector<queued> & rows, int64_t each) {
    if (asks()) asked_.decode(rows, each);
    if (!seen_) return;
    // What is done a second time is not counted twice.
    auto again = rows;
    for (auto & row : again) row.done = asks() ? nullptr : row.done;
    seen_->decode(again, 0);
}

bool llama_states::will_be_edited(bool edited) {
    if (edited == (writer_ != nullptr)) return false;
    if (!edited) {
        asked_.set_probe(nullptr, false);
        writer_.reset();
        return true;
    }
    if (!no_sites_) no_sites_ = std::make_unique<state_layout>(capture_choice{}, llama_.model_n_layer(model_));
    writer_ = std::make_unique<graph_probe>(*no_sites_, options_.architecture);
    asked_.set_probe(writer_.get(), false);
    return true;
}

void llama_states::set_layout(const state_layout * layout) {
    if (layout && layout->any(state_part::attention_weights) &&
        (!options_.strict || options_.flash_attention)) {
        throw error("PROBE_SITE", "llama.cpp does not tell whose keys lie where in a cache of several texts: attention weights "
                                  "are captured with engine.strict, or by engine.forward own");
    }
    seen_.reset();
    probe_.reset();
    if (!layout) return;
    probe_ = std::make_unique<graph_probe>(*layout, options_.architecture);
    seen_  = std::make_unique<llama_evaluator>(llama_, model_, options_, is_cpu_);
    seen_->set_probe(probe_.get(), true);
    if (!adapters_.empty()) seen_->set_adapters(adapters_);
    if (!control_.values.empty()) seen_->set_control_vector(control_);
}

}  // namespace inward
