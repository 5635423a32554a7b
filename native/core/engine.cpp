// Asks a group of prompts over their prefix tree: every distinct token is evaluated once, and cells of the KV cache belong to all
// sequences that begin with them. What is evaluated when depends on the group and the settings alone, so that a group asked
// again gives the same bytes.
#include "inward/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <numeric>

#include "check-work.h"
#include "decode-rows.h"
#include "devices.h"
#include "inward/error.h"
#include "llama-library.h"
#include "quiet-log.h"
#include "read-logits.h"

namespace inward {

namespace {

constexpr int64_t CELL_STEP = 256;  // llama.cpp pads the cache to this
constexpr int64_t KEPT_STEP = 64;   // answers to a kept prompt may grow so far before the cache is made anew

double seconds_since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

// One cell of the KV cache: a token in the context of all those before it.
struct cell {
    int32_t references = 0;  // sequences that hold it
    int32_t pending    = -1; // its place in the queue while it waits to be evaluated
};

struct slot {
    int32_t              item = -1;       // -1: free, or kept for its prompt only
    bool                 holds = false;   // its sequence has cells
    std::vector<int32_t> path;            // cells of all its tokens
    int32_t              next = -1;       // generated token to evaluate, or -1
    int32_t              waiting = 0;     // prompt readings that are still to come
    std::vector<int32_t> tokens;
    std::vector<double>  logprobs, margins, entropies, scores;
    double               log_sum_exp = 0;
    std::vector<int32_t> top_ids;
    std::vector<double>  top_logprobs, read_logprobs;
};

}  // namespace

struct engine::impl {
    engine_options        options;
    const llama_library & llama;
    devices               device;  // registers the variant's backends
    llama_model *         model   = nullptr;
    llama_context *       context = nullptr;
    const llama_vocab *   vocab   = nullptr;
    engine_description    description;
    std::vector<llama_adapter_lora *> adapters;
    std::vector<float>    adapter_scales;
    std::unique_ptr<logits_reader> reading;
    row_decoder           decoder;

    engine_work           work;
    int32_t               most_answer = 0;
    std::vector<int32_t>  order;      // items, prompts in lexicographic order: neighbours share the most
    size_t                started = 0;
    int32_t               last_slot = -1;  // whose prompt the next one begins like
    std::vector<int32_t>  last_prompt;     // its tokens
    std::vector<slot>     slots;
    std::vector<cell>     cells;
    std::vector<int32_t>  free_cells;
    int64_t               used_cells = 0, cell_count = 0;
    int                   sequence_count = 0;  // of the context
    std::deque<queued>    queue;
    int64_t               queue_begin = 0;  // number of queue entries that were taken off so far
    engine_results        finished;
    engine_counts         count;

    explicit impl(const engine_options & o)
        : options(checked(o)), llama(loaded(o)), device(o.binaries_folder, o.fallback_folder, o.device, o.threads) {
        auto params         = llama.model_default_params();
        params.n_gpu_layers = device.is_cpu ? 0 : 999;
        model               = llama.model_load_from_file(o.model_path.c_str(), params);
        if (!model) throw error("ENGINE_MEMORY", o.model_path + " cannot be loaded; the worker's log says why");
        vocab                   = llama.model_get_vocab(model);
        description.device_name = device.name;
        description.vocabulary  = llama.vocab_n_tokens(vocab);
        description.context     = llama.model_n_ctx_train(model);
        reading                 = std::make_unique<logits_reader>(description.vocabulary);
    }

    static engine_options checked(engine_options o) {
        if (o.threads < 1 || o.sequences < 1) throw error("ENGINE_UNAVAILABLE", "an engine needs at least one thread and one sequence");
        return o;
    }

    static const llama_library & loaded(const engine_options & o) {
        const auto & found = llama_of(o.binaries_folder);
        found.log_set(quiet_log, nullptr);
        return found;
    }

    ~impl() {
        if (context) llama.free(context);
        if (model) llama.model_free(model);  // its adapters with it
    }

    int sequences() const { return options.strict ? 1 : work.sequences > 0 ? work.sequences : options.sequences; }
    bool flash() const { return options.flash_attention && !options.strict; }
    // Every sequence has a row in each evaluation.
    int64_t batch_tokens() const { return std::max<int64_t>(options.batch_tokens, sequences() + 1); }

    int32_t prompt_length(int32_t item) const { return work.starts[item + 1] - work.starts[item]; }
    const int32_t * prompt(int32_t item) const { return work.tokens.data() + work.starts[item]; }
    double draw(int32_t item, size_t position) const {
        return work.draws.empty() ? -1 : work.draws[(size_t) item * most_answer + position];
    }

    // --- a group

    void begin(engine_work w) {
        check_work(w, description);
        work        = std::move(w);
        most_answer = work.most_tokens.empty() ? 0 : *std::max_element(work.most_tokens.begin(), work.most_tokens.end());
        const int32_t items = (int32_t) work.most_tokens.size();
        order.resize(items);
        std::iota(order.begin(), order.end(), 0);
        if (!options.strict) {
            std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                return std::lexicographical_compare(prompt(a), prompt(a) + prompt_length(a), prompt(b), prompt(b) + prompt_length(b));
            });
        }
        started  = 0;
        finished = engine_results();
        count    = engine_counts();
        if (!continues()) {
            make_context();
            forget();
        }
        count.cells        = cell_count;
        count.wanted_cells = wanted_cells();
    }

    // Whether the kept prompt's cells can serve this group.
    bool continues() const {
        if (!context || options.strict || work.keep == 0 || last_slot < 0 || (int32_t) last_prompt.size() != work.keep) return false;
        for (size_t i = 0; i < order.size(); i++) {
            if (!std::equal(last_prompt.begin(), last_prompt.end(), prompt((int32_t) i))) return false;
        }
        return sequence_count == sequences() && cell_count >= std::min(wanted_cells(), options.most_cells > 0 ? options.most_cells : wanted_cells());
    }

    int64_t longest_item() const {
        int64_t longest = 0;
        for (size_t i = 0; i < order.size(); i++) longest = std::max<int64_t>(longest, prompt_length((int32_t) i) + work.most_tokens[i]);
        // The groups that go on with a kept prompt have longer ones.
        return work.keep == 0 ? longest : work.keep + (longest - work.keep + KEPT_STEP) / KEPT_STEP * KEPT_STEP;
    }

    // Room for as many whole items as there are slots.
    int64_t wanted_cells() const { return longest_item() * (sequences() + 1); }

    // A cache of that size, or as large as memory and the limit allow: never smaller than the longest item needs.
    void make_context() {
        const int64_t longest = longest_item();
        int64_t       cells   = wanted_cells();
        if (options.most_cells > 0) {
            if (longest > options.most_cells) {
                throw error("ENGINE_MEMORY", "an item of " + std::to_string(longest) + " tokens does not fit a cache of " + std::to_string(options.most_cells));
            }
            cells = std::min(cells, options.most_cells);
        }
        // Exactly what this group alone would get: with a larger one of an earlier group it could be scheduled otherwise.
        if (context && cell_count == cells && sequence_count == sequences()) return;
        if (context) llama.free(context);
        context = nullptr;
        for (;; cells = std::max(longest, cells / 2)) {
            context = context_of(cells);
            if (context) break;
            if (cells <= longest) throw error("ENGINE_MEMORY", "there is no memory for a context of " + std::to_string(cells) + " cells");
        }
        cell_count     = cells;
        sequence_count = sequences();
        apply_adapters();
    }

    llama_context * context_of(int64_t cells) {
        auto params            = llama.context_default_params();
        params.n_ctx           = (uint32_t) ((cells + CELL_STEP - 1) / CELL_STEP * CELL_STEP);
        params.n_batch         = (uint32_t) batch_tokens();
        params.n_ubatch        = (uint32_t) batch_tokens();
        params.n_seq_max       = (uint32_t) (sequences() + 1);
        params.n_threads       = options.threads;
        params.n_threads_batch = options.threads;
        params.flash_attn_type = flash() ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        params.type_k = params.type_v = options.f32_cache ? GGML_TYPE_F32 : GGML_TYPE_F16;
        params.kv_unified      = true;
        params.offload_kqv     = !device.is_cpu;
        params.op_offload      = !device.is_cpu;
        return llama.init_from_model(model, params);
    }

    // Nothing of an earlier group can reach a later one's numbers.
    void forget() {
        llama.memory_clear(llama.get_memory(context), true);
        slots.assign(sequence_count + 1, slot());
        cells.clear();
        free_cells.clear();
        used_cells = 0;
        queue.clear();
        queue_begin = 0;
        last_slot   = -1;
        last_prompt.clear();
    }

    void apply_adapters() {
        if (context && llama.set_adapters_lora(context, adapters.data(), adapters.size(), adapter_scales.data()) != 0) {
            throw error("ADAPTER_INVALID", "llama.cpp refuses the adapters for this context");
        }
    }

    void set_adapters(const std::vector<adapter_choice> & chosen) {
        std::vector<llama_adapter_lora *> made;
        for (const auto & one : chosen) {
            auto * loaded = llama.adapter_lora_init(model, one.path.c_str());
            if (!loaded) {
                for (auto * earlier : made) llama.adapter_lora_free(earlier);
                throw error("ADAPTER_INVALID", one.path + " cannot be loaded onto this model; the worker's log says why");
            }
            made.push_back(loaded);
        }
        const auto old = std::move(adapters);
        adapters       = std::move(made);
        adapter_scales.clear();
        for (const auto & one : chosen) adapter_scales.push_back(one.scale);
        apply_adapters();
        for (auto * one : old) llama.adapter_lora_free(one);
        if (context) forget();
    }

    // --- cells

    int32_t new_cell() {
        used_cells++;
        if (free_cells.empty()) {
            cells.emplace_back();
            cells.back().references = 1;
            return (int32_t) cells.size() - 1;
        }
        const int32_t id = free_cells.back();
        free_cells.pop_back();
        cells[id] = { 1, -1 };
        return id;
    }

    // Gives up a slot's cells from position `first` on.
    void release(int32_t which, size_t first) {
        auto & s = slots[which];
        llama.memory_seq_rm(llama.get_memory(context), which, (llama_pos) first, -1);
        for (size_t i = first; i < s.path.size(); i++) {
            if (--cells[s.path[i]].references == 0) {
                free_cells.push_back(s.path[i]);
                used_cells--;
            }
        }
        s.path.resize(first);
        if (first == 0) s.holds = false;
    }

    // --- starting items

    int32_t free_slot() const {
        int32_t active = 0, found = -1;
        for (int32_t i = 0; i < (int32_t) slots.size(); i++) {
            if (slots[i].item >= 0) active++;
            else if (!slots[i].holds && found < 0) found = i;
        }
        return active < sequences() ? found : -1;
    }

    bool start_next() {
        const int32_t which = free_slot();
        if (which < 0 || started >= order.size()) return false;
        const int32_t   item   = order[started];
        const int32_t   length = prompt_length(item);
        const int32_t * ids    = prompt(item);
        // Prompts come in lexicographic order, so none before shares more with this one than the last.
        int32_t shared = 0;
        if (last_slot >= 0 && !options.strict) {
            const auto &  last = slots[last_slot];
            const int32_t most = std::min({ length, (int32_t) last_prompt.size(), (int32_t) last.path.size() });
            while (shared < most && last_prompt[shared] == ids[shared]) shared++;
            // A token that was evaluated already gives no logits again: those that are read must still be waiting.
            const int32_t first_read = work.score_from[item] - 1;
            for (int32_t i = first_read; i < shared; i++) {
                if (cells[last.path[i]].pending < 0) shared = i;
            }
        }
        const int64_t needed = length - shared + work.most_tokens[item];
        if (used_cells + reserved() + needed > cell_count) {
            if (used_cells > 0 && active() > 0) {
                count.waited++;
                return false;
            }
            // Nobody is left who could give cells up but the kept prompt.
            if (last_slot >= 0 && slots[last_slot].item < 0 && slots[last_slot].holds) {
                release(last_slot, 0);
                last_slot = -1;
                last_prompt.clear();
                return start_next();
            }
            throw error("ENGINE_MEMORY", "an item of " + std::to_string(length + work.most_tokens[item]) + " tokens does not fit a cache of " + std::to_string(cell_count));
        }
        begin_item(which, item, shared);
        const int32_t previous = last_slot;
        last_slot              = which;
        last_prompt.assign(ids, ids + length);
        started++;
        if (previous >= 0 && previous != which && slots[previous].item < 0 && slots[previous].holds) release(previous, 0);
        return true;
    }

    int64_t active() const {
        return std::count_if(slots.begin(), slots.end(), [](const slot & s) { return s.item >= 0; });
    }

    // Cells that started items have still to take: their answers' tokens.
    int64_t reserved() const {
        int64_t sum = 0;
        for (const auto & s : slots) {
            if (s.item >= 0) sum += work.most_tokens[s.item] - (int64_t) (s.path.size() - prompt_length(s.item));
        }
        return sum;
    }

    void begin_item(int32_t which, int32_t item, int32_t shared) {
        auto & s  = slots[which];
        s         = slot();
        s.item    = item;
        s.holds   = true;
        const int32_t   length = prompt_length(item);
        const int32_t * ids    = prompt(item);
        int32_t         cached = 0;
        for (int32_t i = 0; i < shared; i++) {
            const int32_t id = slots[last_slot].path[i];
            cells[id].references++;
            s.path.push_back(id);
            if (cells[id].pending < 0) cached = i + 1;
            else queue[cells[id].pending - queue_begin].sequences.push_back(which);
        }
        // Evaluated cells come first on every path: parents are evaluated before their children.
        if (cached > 0) llama.memory_seq_cp(llama.get_memory(context), last_slot, which, 0, cached);
        for (int32_t i = shared; i < length; i++) {
            const int32_t id  = new_cell();
            cells[id].pending = (int32_t) (queue_begin + (int64_t) queue.size());
            s.path.push_back(id);
            queue.push_back({ ids[i], i, { which }, {}, id });
            count.distinct_tokens++;
        }
        for (int32_t i = work.score_from[item] - 1; i < length; i++) {
            const bool last = i == length - 1;
            if (last && work.most_tokens[item] == 0 && work.top_tokens == 0 && work.read_ids.empty()) continue;
            queue[cells[s.path[i]].pending - queue_begin].readers.push_back({ which, last ? -1 : i + 1 });
            s.waiting++;
        }
    }

    // --- a batch

    bool step() {
        if (!context) return false;
        while (started < order.size() && (int64_t) queue.size() + active() < batch_tokens() && start_next()) {
        }
        std::vector<queued> rows;
        for (int32_t i = 0; i < (int32_t) slots.size(); i++) {
            auto & s = slots[i];
            if (s.item < 0 || s.next < 0) continue;
            const int32_t id = new_cell();
            rows.push_back({ s.next, (int32_t) s.path.size(), { i }, { { i, -1 } }, id });
            s.path.push_back(id);
            s.next = -1;
            count.distinct_tokens++;
        }
        while (!queue.empty() && (int64_t) rows.size() < batch_tokens()) {
            rows.push_back(std::move(queue.front()));
            queue.pop_front();
            queue_begin++;
            cells[rows.back().owner].pending = -1;
        }
        if (rows.empty()) return false;
        const auto begun = std::chrono::steady_clock::now();
        decoder.decode(llama, context, rows);
        count.decode_seconds += seconds_since(begun);
        count.decodes++;
        count.evaluated_tokens += (int64_t) rows.size();
        count.most_sequences = std::max(count.most_sequences, active());
        const auto decoded = std::chrono::steady_clock::now();
        for (int32_t r = 0; r < (int32_t) rows.size(); r++) {
            if (!rows[r].readers.empty()) read_row(r, rows[r]);
        }
        count.read_seconds += seconds_since(decoded);
        for (int32_t i = 0; i < (int32_t) slots.size(); i++) {
            if (slots[i].item >= 0 && slots[i].waiting == 0 && slots[i].next < 0) finish(i);
        }
        return started < order.size() || active() > 0;
    }

    void read_row(int32_t row, const queued & entry) {
        const float * logits = llama.get_logits_ith(context, row);
        if (!logits) throw error("ENGINE_CRASHED", "llama.cpp gave no logits for row " + std::to_string(row));
        const auto found = reading->read(logits);
        if (!found.finite) throw error("ENGINE_NOT_FINITE", "the logits after token " + std::to_string(entry.token) + " at position " + std::to_string(entry.position) + " are not finite");
        for (const auto & r : entry.readers) {
            auto & s = slots[r.slot];
            if (r.scored >= 0) {
                s.waiting--;
                s.scores.push_back((double) logits[prompt(s.item)[r.scored]] - found.log_sum_exp);
                continue;
            }
            const bool first = s.tokens.empty();
            if (first) {
                s.waiting--;
                s.log_sum_exp = found.log_sum_exp;
                if (work.top_tokens > 0) {
                    reading->top(logits, std::min<int32_t>(work.top_tokens, (int32_t) description.vocabulary), s.top_ids);
                    for (auto id : s.top_ids) s.top_logprobs.push_back((double) logits[id] - found.log_sum_exp);
                }
                for (auto id : work.read_ids) s.read_logprobs.push_back((double) logits[id] - found.log_sum_exp);
            }
            if (work.most_tokens[s.item] == 0) continue;
            const double  u     = draw(s.item, s.tokens.size());
            const int32_t token = u < 0 ? found.best : reading->sample(logits, found, u);
            s.tokens.push_back(token);
            s.logprobs.push_back((double) logits[token] - found.log_sum_exp);
            s.entropies.push_back(found.entropy);
            s.margins.push_back(found.margin);
            const bool over = llama.vocab_is_eog(vocab, token) || (int32_t) s.tokens.size() >= work.most_tokens[s.item];
            s.next          = over ? -1 : token;
        }
    }

    void finish(int32_t which) {
        auto & s = slots[which];
        auto   append = [](auto & to, const auto & from) { to.insert(to.end(), from.begin(), from.end()); };
        finished.items.push_back(s.item);
        finished.counts.push_back((int32_t) s.tokens.size());
        append(finished.tokens, s.tokens);
        append(finished.logprobs, s.logprobs);
        append(finished.margins, s.margins);
        append(finished.entropies, s.entropies);
        finished.ended.push_back(!s.tokens.empty() && llama.vocab_is_eog(vocab, s.tokens.back()));
        finished.score_counts.push_back((int32_t) s.scores.size());
        append(finished.scores, s.scores);
        finished.log_sum_exps.push_back(s.log_sum_exp);
        append(finished.top_ids, s.top_ids);
        append(finished.top_logprobs, s.top_logprobs);
        append(finished.read_logprobs, s.read_logprobs);
        size_t keep = 0;
        if (which == last_slot && !options.strict) {
            keep = started < order.size() ? (size_t) prompt_length(s.item) : (size_t) work.keep;
            last_prompt.resize(keep);
            if (keep == 0) last_slot = -1;
        }
        s.item = -1;
        release(which, keep);
        if (options.strict) llama.memory_clear(llama.get_memory(context), false);
    }

    void cancel() {
        started = order.size();
        if (context) forget();
    }
};

engine::engine(const engine_options & options) : p(std::make_unique<impl>(options)) {}
engine::~engine() = default;

const engine_description & engine::describe() const { return p->description; }
void           engine::set_adapters(const std::vector<adapter_choice> & adapters) { p->set_adapters(adapters); }
void           engine::begin(engine_work work) { p->begin(std::move(work)); }
bool           engine::step() { return p->step(); }
void           engine::cancel() { p->cancel(); }
engine_counts  engine::counts() const { return p->count; }
engine_results engine::take() {
    engine_results out;
    std::swap(out, p->finished);
    return out;
}

}  // namespace inward
