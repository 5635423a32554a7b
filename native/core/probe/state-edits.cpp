#include "probe/state-edits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "inward/error.h"

namespace inward {

namespace {

[[noreturn]] void wrong(const std::string & what) { throw error("TRAIN_SHAPE", "interventions: " + what); }

// [n + 1] from 0 on to the length of what they cut
void require_cuts(const std::vector<int32_t> & starts, size_t n, size_t length, const char * what) {
    const bool right = starts.size() == n + 1 && starts.front() == 0 && starts.back() == (int32_t) length &&
                       std::is_sorted(starts.begin(), starts.end());
    if (!right) wrong(std::string("lists of ") + what + " do not fit together");
}

std::vector<std::pair<int64_t, int64_t>> spans_of(const intervention_table & table, size_t edit) {
    const int32_t first = table.head_starts[edit], last = table.head_starts[edit + 1];
    if (first == last) return { { 0, table.widths[edit] } };
    std::vector<std::pair<int64_t, int64_t>> spans;
    for (int32_t i = first; i < last; i++) {
        const int64_t begin = table.heads[i] * table.head_width, end = begin + table.head_width;
        if (table.parts[edit] != (int32_t) state_part::head_values || begin < 0 || begin >= end || end > table.widths[edit]) {
            throw error("PROBE_INVALID", "there is no head " + std::to_string(table.heads[i]) + " of " +
                                             std::to_string(table.widths[edit]) + " numbers");
        }
        spans.push_back({ begin, end });
    }
    return spans;
}

}  // namespace

void state_edit::apply(float * state) const {
    if (operation == edit_operation::project_out) {
        for (const float * direction : vectors) {
            double along = 0;
            for (int64_t i = 0; i < width; i++) along += (double) direction[i] * state[i];
            for (const auto & [begin, end] : spans) {
                for (int64_t i = begin; i < end; i++) state[i] = (float) (state[i] - along * direction[i]);
            }
        }
        return;
    }
    // A sum with 0 would make 0 of -0.
    if (operation == edit_operation::add && factor == 0) return;
    for (const auto & [begin, end] : spans) {
        for (int64_t i = begin; i < end; i++) {
            if (operation == edit_operation::replace) state[i] = vectors[0][i];
            else if (operation == edit_operation::add) state[i] += factor * vectors[0][i];
            else state[i] *= factor;
        }
    }
}

bool state_edit::is(const state_edit & other) const {
    if (this == &other) return true;
    if (part != other.part || layer != other.layer || width != other.width || operation != other.operation ||
        factor != other.factor || spans != other.spans || vectors.size() != other.vectors.size()) {
        return false;
    }
    for (size_t i = 0; i < vectors.size(); i++) {
        if (std::memcmp(vectors[i], other.vectors[i], width * sizeof(float)) != 0) return false;
    }
    return true;
}

int32_t apply_edits(const token_edits & edits, state_part part, int64_t layer, float * state) {
    int32_t done = 0;
    for (const auto * one : edits) {
        if (one->part != part || one->layer != layer) continue;
        one->apply(state);
        done++;
    }
    return done;
}

bool same_edits(const token_edits * one, const token_edits * other) {
    if (one == other) return true;
    if (!one || !other || one->size() != other->size()) return false;
    return std::equal(one->begin(), one->end(), other->begin(),
                      [](const state_edit * a, const state_edit * b) { return a->is(*b); });
}

edit_sets::edit_sets(intervention_table & table) : layers_(table.model_layers), values_(std::move(table.values)) {
    const size_t n = table.parts.size();
    for (const auto * other : { &table.layers, &table.widths, &table.operations }) {
        if (other->size() != n) wrong("edits have as many parts as layers, widths and operations");
    }
    if (table.factors.size() != n) wrong("edits have as many factors as parts");
    if (table.set_starts.empty()) wrong("there are no sets");
    require_cuts(table.vector_starts, n, table.vectors.size(), "vectors");
    require_cuts(table.head_starts, n, table.heads.size(), "heads");
    require_cuts(table.set_starts, table.set_starts.size() - 1, table.sets.size(), "edits");
    for (const float value : values_) {
        if (!std::isfinite(value)) throw error("PROBE_INVALID", "an intervention has a value that is not finite");
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t part = table.parts[i], layer = table.layers[i], operation = table.operations[i];
        if (part < 0 || part >= (int32_t) state_part::attention_weights || layer < 0 || layer >= layers_) {
            throw error("PROBE_SITE", "there is no site " + std::to_string(part) + " of layer " + std::to_string(layer) +
                                          " to write to; the model has " + std::to_string(layers_) + " layers");
        }
        if (operation < 0 || operation >= EDIT_OPERATIONS || !std::isfinite(table.factors[i]) || table.widths[i] < 1) {
            throw error("PROBE_INVALID", "intervention " + std::to_string(i + 1) + " is none");
        }
        state_edit edit{ (state_part) part, layer, table.widths[i], (edit_operation) operation, table.factors[i], {},
                         spans_of(table, i) };
        const int32_t count = table.vector_starts[i + 1] - table.vector_starts[i];
        const bool    none = edit.operation == edit_operation::scale, many = edit.operation == edit_operation::project_out;
        if (none ? count != 0 : many ? count < 1 : count != 1) {
            throw error("PROBE_INVALID", "intervention " + std::to_string(i + 1) + " has " + std::to_string(count) + " vectors");
        }
        for (int32_t v = table.vector_starts[i]; v < table.vector_starts[i + 1]; v++) {
            const int64_t first = table.vectors[v];
            if (first < 0 || first + edit.width > (int64_t) values_.size()) wrong("a vector lies outside the values");
            edit.vectors.push_back(values_.data() + first);
        }
        edits_.push_back(std::move(edit));
    }
    for (size_t s = 0; s + 1 < table.set_starts.size(); s++) {
        sets_.emplace_back();
        for (int32_t i = table.set_starts[s]; i < table.set_starts[s + 1]; i++) {
            if (table.sets[i] < 0 || table.sets[i] >= (int32_t) n) wrong("a set has an edit that is none");
            sets_.back().push_back(&edits_[table.sets[i]]);
        }
    }
}

void edited_rows::clear(int64_t layers) {
    if (any_ || layers != layers_) rows_.assign(layers * STATE_PARTS, {});
    layers_ = layers;
    any_    = false;
}

void edited_rows::add(int64_t row, const token_edits & edits, bool ends, int32_t * done) {
    for (const auto * one : edits) {
        if (one->layer + 1 == layers_ && one->part != state_part::residual_before && !ends) continue;
        auto & rows = rows_[one->layer * STATE_PARTS + (int32_t) one->part];
        if (!rows.empty() && rows.back().row == row) continue;
        rows.push_back({ row, &edits, done });
        any_ = true;
    }
}

}  // namespace inward
