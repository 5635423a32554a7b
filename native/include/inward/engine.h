// The asking engine as the binding sees it: neither Node-API nor llama.cpp shows here.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "inward/interventions.h"
#include "inward/states.h"
#include "inward/vocabulary.h"

namespace inward {

class logit_rows;

struct engine_options {
    std::string model_path;
    std::string binaries_folder, fallback_folder;
    std::string device;  // one or several, as devices.h in shared/ has them
    // Layers on the GPUs, the last ones, and with all of them the output: how many on each device. Empty: all there, as
    // llama.cpp spreads them.
    std::vector<int> device_layers;
    int         threads       = 1;
    int         sequences     = 1;    // answers in the making at once
    int64_t     batch_tokens  = 512;  // tokens of one evaluation
    int64_t     most_cells    = 0;    // of the KV cache; 0: as many as a group can use
    bool        strict        = false;
    bool        f32_cache     = true;
    bool        flash_attention = false;  // not when strict; llama.cpp's only
    bool        own_forward     = false;  // else llama.cpp's
    // Each sequence attends to cells of its own only, laid out as if it were alone; what sequences share is copied.
    // llama.cpp's only, and not when strict.
    bool        separate_sequences = false;
    // Every evaluation has one of two shapes, whoever is asked with whom: all sequences with one row each, or with one
    // piece of a prompt each; what is not there is filled up. llama.cpp's only, and not when strict.
    bool        invariant = false;
    // No evaluation has fewer rows, nor makes fewer rows' logits; others are filled up. 0: as many as there are.
    int64_t     least_rows = 0;
    // Tokens within which the RoPE factors for short texts hold, where the file has others for longer ones: those for short
    // texts are taken always, and no text is longer. 0: the file has none. architecture: of the file, where this is not 0.
    int64_t     short_context = 0;
    bool        one_at_a_time = false;  // whatever is said of sequences
    std::string architecture;
};

struct adapter_choice {
    std::string path;
    float       scale;
};

// A group of prompts that are asked together. Arrays of [items] unless said otherwise.
struct engine_work {
    std::vector<int32_t> tokens;        // all prompts one after the other
    std::vector<int32_t> starts;        // [items + 1] where each begins in `tokens`
    std::vector<int32_t> score_from;    // tokens from here on are scored, not only read; the prompt's length for none
    std::vector<int32_t> most_tokens;   // longest answer; 0 generates nothing
    // [items x most answer tokens of any] in [0, 1): which token is drawn; empty or negative: greedy
    std::vector<double>  draws;
    std::vector<double>  temperatures;  // of each item's draws: from softmax(logits / temperature); empty: all 1
    int32_t              top_tokens = 0;   // most likely tokens to report at each item's first answer position
    std::vector<int32_t> read_ids;         // token ids whose log-probability is reported there too
    int32_t              position_tokens = -1;  // most likely tokens to report at every answer position; -1: nothing of it
    std::vector<int32_t> end_ids;          // token ids that end an answer, beside those that end generation
    int32_t              sequences = 0;    // answers in the making at once; 0: the engine's own number
    // Tokens at the beginning of every prompt whose cells stay for the next group, if that one keeps the very same;
    // what is in it then depends on the groups before it. 0: nothing stays.
    int32_t              keep = 0;
    // Our own forward pass: tokens at the beginning of each prompt whose cells stay for the next group, where that has a prompt
    // that begins with the very same; with no number of any row by that. Empty: nothing stays but by `keep`.
    std::vector<int32_t> keeps;
    // Where the logits before every scored token go, item after item: kept there, or held against those that are.
    std::shared_ptr<logit_rows> rows;
    bool                        compares = false;
    // Of whom states are captured, at the sites that set_capture has: [tokens] of the prompts, [items] of answers, each
    // of whose tokens that are evaluated. Empty: nobody.
    std::vector<uint8_t>        capture, capture_answers;
    // What is written into states on the way; [tokens] of the prompts and [items] of all tokens of answers.
    intervention_table          interventions;
};

// What became of the items that finished since the last call, in the order in which they finished.
struct engine_results {
    std::vector<int32_t> items;
    std::vector<int32_t> counts;        // [items] generated tokens
    std::vector<int32_t> tokens;        // generated ids one item after the other, the token that ended it included
    std::vector<double>  logprobs;      // of each, at temperature 1 over the full vocabulary
    std::vector<double>  margins;       // best minus second-best logit, nats
    std::vector<double>  entropies;     // nats
    std::vector<uint8_t> ended;         // [items] 1: at a token that ends an answer, 0: at its longest
    std::vector<int32_t> score_counts;  // [items]
    std::vector<double>  scores;        // log-probability of each scored token
    std::vector<double>  log_sum_exps;  // [items] at the first answer position
    std::vector<int32_t> top_ids;       // [items x top_tokens]
    std::vector<double>  top_logprobs;
    std::vector<double>  read_logprobs; // [items x read_ids]
    // Where position_tokens is not negative, of every generated token's position.
    std::vector<double>  position_log_sum_exps;
    std::vector<int32_t> position_ids;       // [tokens x position_tokens]
    std::vector<double>  position_logprobs;
    std::vector<int32_t> edits_done;    // [items] edits of its tokens' states, each counted where it was done
    // [items] captured tokens of each; of these their positions, and what was captured
    std::vector<int32_t> state_counts, state_positions;
    states_of_tokens     states;
};

struct engine_counts {
    int64_t evaluated_tokens = 0;  // rows that were decoded
    int64_t distinct_tokens  = 0;  // nodes of the group's prefix tree, plus generated tokens
    int64_t decodes          = 0;
    int64_t most_sequences   = 0;  // at once
    int64_t waited           = 0;  // times an item had to wait for cells
    int64_t cells            = 0;  // of the KV cache
    int64_t wanted_cells     = 0;  // more than `cells` where memory or a limit left fewer
    double  decode_seconds   = 0;
    double  read_seconds     = 0;  // finding tokens, logprobs, entropies in the logits
};

struct engine_description {
    std::string device_name;
    int64_t     vocabulary, context;
    bool        whole_prompts = false;  // what is kept of a text is whole or nothing: prompts share no beginning
    int64_t     window = 0;   // tokens that llama.cpp's layers with a window see; 0: there are none
    std::string kernels;  // of our own forward pass; else empty
    std::string load_log; // lines that llama.cpp warned with while it loaded the file
};

class engine {
public:
    // throws inward::error MODEL_LOAD with the lines of llama.cpp's log, other MODEL_*, ENGINE_UNAVAILABLE, ENGINE_MEMORY
    explicit engine(const engine_options & options);
    ~engine();

    const engine_description & describe() const;
    // What its tokens are.
    inward::vocabulary words() const;

    // Replaces all adapters; forgets everything evaluated. throws ADAPTER_INVALID
    void set_adapters(const std::vector<adapter_choice> & adapters);

    // llama.cpp adds to every token's state after each layer from `first` to `last`, layers from 1 on; nothing where it is empty.
    // [layers x width] from layer 1 on. Forgets everything evaluated. throws ENGINE_UNAVAILABLE by our own forward pass, PROBE_INVALID
    void set_control_vector(std::vector<float> values, int32_t width, int32_t first, int32_t last);

    // What is captured of the groups that begin from here on; nothing where there are no sites. Forgets everything
    // evaluated. No logit changes a bit by it. layers: the model's. throws PROBE_SITE
    void set_capture(const capture_choice & choice, int64_t layers);

    // Begins a group; forgets the one before.
    // throws ENGINE_CONTEXT, ENGINE_EMPTY_PROMPT, TRAIN_EXAMPLE, ENGINE_MEMORY, ENGINE_UNAVAILABLE, PROBE_SITE, PROBE_INVALID
    void begin(engine_work work);
    // Evaluates one batch. Returns whether the group goes on.
    // throws ENGINE_NOT_FINITE, ENGINE_MEMORY, ENGINE_CRASHED, PROBE_SITE, PROBE_RANGE
    bool step();
    // What finished since the last call
    engine_results take();
    // Drops the rest of the group
    void cancel();

    engine_counts counts() const;

private:
    struct impl;
    std::unique_ptr<impl> p;
};

}  // namespace inward
