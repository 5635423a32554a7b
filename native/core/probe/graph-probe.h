// Takes states out of llama.cpp's graph while it is evaluated, and writes into them before anything has read them. A tensor is known by what it is computed from; of names only
// kqv_out, kq_soft_max and l_out are believed, each with its layer, and the last only as a sum of what was found before it.
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ggml.h"
#include "probe/state-edits.h"
#include "probe/token-states.h"

namespace inward {

class graph_probe {
public:
    // architecture: for messages
    graph_probe(const state_layout & layout, std::string architecture)
        : layout_(layout), architecture_(std::move(architecture)) {}
    graph_probe(const graph_probe &) = delete;

    // llama_context_params::cb_eval; user data: the probe
    static bool callback(ggml_tensor * node, bool ask, void * probe);

    // The rows of the next evaluation, in the order in which llama.cpp is given them: [rows], records and edits of each, or null, and
    // where the edits that are done are counted.
    // outputs: 1 where a row has logits, which every captured one must have.
    void expect(const std::vector<int32_t> & tokens, const std::vector<int8_t> & outputs,
                std::vector<token_states *> records, const std::vector<const token_edits *> & edits,
                const std::vector<int32_t *> & done);
    // After the evaluation. throws PROBE_SITE where a site is not in the graph, or is another thing than its name says
    void require_seen() const;

    // What the first layer begins with is known once the layer is over, and written to before: a trial of one token tells its
    // name, and each evaluation proves it.
    bool knows_beginning() const { return !beginning_.empty(); }
    void learn_beginning(int32_t token);

private:
    const state_layout &        layout_;
    const std::string           architecture_;
    std::string                 beginning_;         // name of what the first layer begins with
    bool                        learns_ = false;
    std::vector<int32_t>        tokens_;
    std::vector<int64_t>        output_rows_;  // of each row, among those with logits; -1
    int64_t                     outputs_ = 0;
    std::vector<token_states *> records_;      // of each row, or null
    edited_rows                 edited_;
    bool                        any_ = false;  // records, or edits
    std::vector<bool>           taken_;        // of each site
    std::vector<bool>           written_;      // of each part of each layer
    std::string                 fault_;

    // Of the graph so far
    std::unordered_map<std::string, const ggml_tensor *> nodes_;
    bool                        has_tokens_ = false;
    int64_t                     layer_ = 0;         // whose end has not come
    const ggml_tensor *         before_ = nullptr;  // residual that it begins with; of the first layer it is known by its use
    const ggml_tensor *         heads_ = nullptr, * middle_ = nullptr;
    std::vector<std::pair<state_part, int64_t>> next_;  // what the node is that is computed next
    std::unordered_set<const ggml_tensor *>     read_;  // by nodes before the one that is asked about
    const ggml_tensor *         last_ = nullptr;    // node that was asked about
    // What the first layer may begin with, all rows of each
    std::unordered_map<const ggml_tensor *, std::vector<float>> beginnings_;
    bool                        is_beginning_ = false;  // the node that is computed next
    const ggml_tensor *         written_beginning_ = nullptr;
    bool                        found_beginning_ = false;

    bool                wanted(ggml_tensor * node);
    bool                wants(state_part part, int64_t layer) const;
    void                want_next(state_part part, int64_t layer);
    void                remember_read(const ggml_tensor * node);
    void                begins_with(const ggml_tensor * node);
    // Writes, and takes what is there then.
    void                meet(state_part part, int64_t layer, const ggml_tensor * tensor);
    void                write(state_part part, int64_t layer, const ggml_tensor * tensor);
    bool                reads_others(const ggml_tensor * node);
    bool                may_begin(const ggml_tensor * node) const;
    void                take_beginning(const ggml_tensor * end);
    bool                is_middle(ggml_tensor * node);
    void                end_layer(ggml_tensor * node);
    bool                wants_inside() const;
    const ggml_tensor * original(const ggml_tensor * tensor) const;
    const ggml_tensor * before_choice(const ggml_tensor * tensor) const;
    bool                depends(const ggml_tensor * tensor, const ggml_tensor * on) const;
    bool                depends_on_tokens(const ggml_tensor * tensor) const;
    void                take(const ggml_tensor * tensor, int32_t site);
    void                put(int32_t site, const std::vector<float> & numbers, int64_t found, int64_t width);
    void                take_weights(const ggml_tensor * tensor, int32_t site);
    void                take_at(state_part part, int64_t layer, const ggml_tensor * tensor);
    void                fail(const std::string & what);
};

}  // namespace inward
