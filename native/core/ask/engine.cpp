// Asks a group of prompts over their prefix tree: every distinct token is evaluated once, and cells of the KV cache
// belong to all sequences that begin with them. What is evaluated when depends on the group and the settings alone, so
// that a group asked again gives the same bytes.
#include "inward/engine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <numeric>
#include <thread>

#include "ask/kept-prompts.h"
#include "ask/read-logits.h"
#include "ask/row-evaluator.h"
#include "ask/schedule.h"
#include "inward/error.h"
#include "inward/logit-rows.h"
#include "shared/prompt-group.h"

namespace inward {

namespace {

constexpr int64_t KEPT_STEP = 64;   // answers to a kept prompt may grow so far before the cache is made anew
// With sequences that are separate, so many shared tokens are worth waiting for until they can be copied.
constexpr int32_t WORTH_WAITING = 16;
// Threads that read a GPU's logits, where there are so many cores; a study's threads are for evaluating on the CPU.
constexpr unsigned GPU_READERS  = 16;

double seconds_since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

}  // namespace

struct engine::impl {
    engine_options        options;
    const one_shape_rows  shape;
    std::shared_ptr<const state_layout> layout;  // of what is captured, or null
    const llama_library & llama;
    devices               device;  // registers the variant's backends
    llama_model *         model   = nullptr;
    const llama_vocab *   vocab   = nullptr;
    engine_description    description;
    std::unique_ptr<read_team>     reading;
    std::unique_ptr<row_evaluator> evaluator;

    prompt_group          group;
    std::vector<int32_t>  order;           // items, in the order in which they are started
    size_t                started = 0;
    int32_t               last_slot = -1;  // whose prompt the next one begins like
    std::vector<int32_t>  last_prompt;     // its tokens
    std::vector<const token_edits *>  last_edits;  // what is done to each
    std::shared_ptr<const edit_sets>  edits = std::make_shared<edit_sets>(), last_owner;  // of the group; of last_edits
    kept_prompts          kept;            // beside each other
    std::vector<answer_slot> slots;
    cell_pool             cells;
    int64_t               cell_count = 0;      // of the cache; 0: there is none
    int                   sequence_count = 0;  // answers at once for which the cache was made
    int                   slot_count = 0;      // sequences of the cache
    bool                  is_read = true;      // the group's logits, or some of them
    std::vector<waiting_rows> queues;          // of each slot where evaluations have one shape, else one for all
    bool                  is_separate = false; // each of which has cells of its own only
    engine_results        finished;
    engine_counts         count;

    explicit impl(const engine_options & o)
        : options(checked(o)),
          shape(options),
          llama(loaded(o)),
          device(o.binaries_folder, o.fallback_folder, o.device, o.threads) {
        auto params         = llama.model_default_params();
        // Of several GPUs llama.cpp would take all that it finds.
        std::vector<ggml_backend_dev_t> gpus;
        for (const auto & one : device.all) {
            if (!one.is_cpu) gpus.push_back(one.handle);
        }
        gpus.push_back(nullptr);
        if (!device.is_cpu) params.devices = gpus.data();
        params.n_gpu_layers = device.is_cpu ? 0 : 999;
        std::vector<float> shares(llama.max_devices(), 0.0f);
        if (!o.device_layers.empty()) {
            params.n_gpu_layers = std::accumulate(o.device_layers.begin(), o.device_layers.end(), 0);
            std::copy(o.device_layers.begin(), o.device_layers.end(), shares.begin());
            if (params.n_gpu_layers > 0) params.tensor_split = shares.data();
        }
        params.vocab_only   = o.own_forward;
        // llama.cpp chooses a file's factors by the size of the context, not of the text: which they are would depend on how
        // much is asked at once.
        llama_model_kv_override overrides[2]{};
        if (o.short_context > 0) {
            const std::string key = o.architecture + ".rope.scaling.original_context_length";
            std::snprintf(overrides[0].key, sizeof overrides[0].key, "%s", key.c_str());
            overrides[0].tag     = LLAMA_KV_OVERRIDE_TYPE_INT;
            overrides[0].val_i64 = std::numeric_limits<int32_t>::max();
            params.kv_overrides  = overrides;
        }
        {
            const log_keeper log(llama);
            model                = llama.model_load_from_file(o.model_path.c_str(), params);
            description.load_log = log.said();
        }
        if (!model) throw error("MODEL_LOAD", description.load_log);
        vocab                   = llama.model_get_vocab(model);
        description.device_name = device.name;
        description.vocabulary  = llama.vocab_n_tokens(vocab);
        try {
            evaluator = make_evaluator(llama, model, options, device, description);
        } catch (...) {
            llama.model_free(model);
            throw;
        }
        const unsigned cores = std::max(1u, std::min(std::thread::hardware_concurrency(), GPU_READERS));
        const int readers = device.is_cpu ? o.threads : std::max(o.threads, (int) cores);
        if ((description.whole_prompts || o.one_at_a_time) && (one_shape() || o.least_rows > 0)) {
            evaluator.reset();
            llama.model_free(model);
            throw error("ENGINE_UNAVAILABLE", std::string("this architecture cannot be evaluated with filled-up rows; leave ") +
                                                  (one_shape() ? "engine.invariant" : "engine.exact") + " out");
        }
        reading = std::make_unique<read_team>(description.vocabulary, readers);
    }

    static engine_options checked(engine_options o) {
        if (o.device_layers.size() > 16) throw error("ENGINE_UNAVAILABLE", "an engine takes 16 devices at most");
        if (o.threads < 1 || o.sequences < 1) {
            throw error("ENGINE_UNAVAILABLE", "an engine needs at least one thread and one sequence");
        }
        return o;
    }

    static const llama_library & loaded(const engine_options & o) {
        const auto & found = llama_of(o.binaries_folder);
        found.log_set(quiet_log, nullptr);
        return found;
    }

    ~impl() {
        evaluator.reset();
        llama.model_free(model);
    }

    int sequences() const {
        if (options.strict || options.one_at_a_time) return 1;
        const int asked = group.sequences > 0 ? group.sequences : options.sequences;
        return one_shape() ? std::min(asked, options.sequences) : asked;
    }
    bool one_shape() const { return options.invariant && !options.strict && !options.own_forward; }
    // Whether prompts that begin alike are evaluated once as far as they do.
    bool shares() const { return !options.strict && !description.whole_prompts; }
    // llama.cpp gives the cells of a sequence's tokens that its own window has left behind to other sequences, though one
    // that begins like it may still see them: beyond a window each has cells of its own.
    bool beyond_window() const { return shares() && description.window > 0 && longest_item() > description.window; }
    bool separate() const { return !options.strict && (options.separate_sequences || one_shape() || beyond_window()); }
    // Every sequence has a row in each evaluation.
    int64_t batch_tokens() const { return std::max<int64_t>(options.batch_tokens, sequences() + 1); }

    // --- a group

    void begin(engine_work work) {
        const bool edited = !work.interventions.token_sets.empty();
        const auto made   = edited ? std::make_shared<edit_sets>(work.interventions) : std::make_shared<edit_sets>();
        if (edited && one_shape()) {
            throw error("ENGINE_UNAVAILABLE", "llama.cpp does not tell which row is whose in evaluations of one shape: for interventions "
                                              "leave engine.invariant out, or set engine.forward to own");
        }
        if (edited) evaluator->check_edits(*made);
        if (!work.keeps.empty() && !options.own_forward) {
            throw error("TRAIN_SHAPE", "only our own forward pass keeps several prompts for the next group");
        }
        group = prompt_group(std::move(work), description);
        edits = made;
        if (!layout && !(group.capture.empty() && group.capture_answers.empty())) {
            throw error("TRAIN_SHAPE", "a group wants states, and no sites were chosen");
        }
        const bool was_read = is_read;
        is_read             = group.is_read();
        evaluator->will_be_read(is_read);
        const bool anew = evaluator->will_be_edited(edited);
        if (anew) cell_count = 0;
        if (options.strict) {
            order.resize(group.items());
            std::iota(order.begin(), order.end(), 0);
        } else {
            order = group.sorted();
        }
        // Items that want the same cache are asked together.
        if (one_shape()) {
            std::stable_sort(order.begin(), order.end(),
                             [this](int32_t a, int32_t b) { return shaped_room(a) < shaped_room(b); });
        }
        started  = 0;
        finished = engine_results();
        count    = engine_counts();
        const bool any_kept = kept.wants(group, shares() ? order : std::vector<int32_t>(), *edits);
        if (was_read == is_read && (continues() || (any_kept && has_room()))) {
            kept.take_over(cells);
        } else {
            if (one_shape()) make_shaped_cache(order.front());
            else make_cache();
            forget();
        }
        if (group.keep > 0) {
            for (size_t i = 0; i < last_edits.size(); i++) last_edits[i] = edits_of(0, (int32_t) i);
        }
        last_owner = edits;
        count.cells        = cell_count;
        count.wanted_cells = one_shape() ? cell_count : wanted_cells();
    }

    // Whether the kept prompt's cells can serve this group.
    bool continues() const {
        if (cell_count == 0 || !shares() || group.keep == 0 || is_separate != separate()) return false;
        if (last_slot < 0 || (int32_t) last_prompt.size() != group.keep) return false;
        for (int32_t i = 0; i < group.items(); i++) {
            if (!std::equal(last_prompt.begin(), last_prompt.end(), group.prompt(i))) return false;
        }
        for (int32_t i = 0; i < group.keep; i++) {
            if (!same_edits(last_edits[i], edits_of(0, i))) return false;
        }
        if (one_shape()) {
            return std::all_of(order.begin(), order.end(),
                               [this](int32_t item) { return shaped_room(item) * slot_count == cell_count; });
        }
        return sequence_count == sequences() && cell_count >= permitted_cells();
    }

    const token_edits * edits_of(int32_t item, int32_t token) const { return edits->at(group.edits(item, token)); }

    // Whether the cache would be made for this group as it is.
    bool has_room() const {
        return cell_count > 0 && is_separate == separate() && sequence_count == sequences() && cell_count >= permitted_cells();
    }

    // --- one shape: a row's numbers are a function of its own item alone

    int64_t piece_rows() const { return shape.piece_rows; }
    int64_t shaped_room(int32_t item) const { return shape.room(group.length(item) + (int64_t) group.most_tokens[item]); }

    void make_shaped_cache(int32_t item) {
        const int     streams = options.sequences + 1;
        const int64_t cells   = shaped_room(item) * streams;
        if (cell_count == cells) return;
        cell_count = 0;
        if (options.most_cells > 0 && cells > options.most_cells) no_room(shaped_room(item), options.most_cells / streams);
        if (!evaluator->make_room(cells, streams, (streams + 1) * piece_rows(), true)) {
            throw error("ENGINE_MEMORY", "there is no memory for " + std::to_string(streams) + " sequences of " +
                                             std::to_string(shaped_room(item)) +
                                             " tokens; engine.invariant needs all of them, whoever is asked");
        }
        cell_count     = cells;
        sequence_count = sequences();
        slot_count     = streams;
        is_separate    = true;
    }

    // Where a whole evaluation would be for one prompt, answers go on until there is room for several.
    bool starts_now() const {
        return !one_shape() || active() == 0 || waiting() > 0 || active() * 2 <= sequences();
    }

    waiting_rows & queue_of(int32_t slot) { return queues[one_shape() ? slot : 0]; }
    int64_t waiting() const {
        int64_t sum = 0;
        for (const auto & one : queues) sum += one.size();
        return sum;
    }

    int64_t longest_item() const {
        const int64_t longest = group.longest();
        // The groups that go on with a kept prompt have longer ones.
        const auto grown = [](int64_t length, int64_t keep) {
            return keep == 0 ? length : keep + (length - keep + KEPT_STEP) / KEPT_STEP * KEPT_STEP;
        };
        int64_t most = grown(longest, group.keep);
        for (int32_t i = 0; i < (int32_t) group.keeps.size(); i++) {
            most = std::max(most, grown(group.length(i) + group.most_tokens[i], group.keeps[i]));
        }
        return most;
    }

    // Room for as many whole items as there are slots, and for what is kept beside each other.
    // Where those begin alike it is less.
    int64_t wanted_cells() const { return longest_item() * (sequences() + 1) + kept.tokens(); }

    int64_t permitted_cells() const {
        const int64_t cells = (wanted_cells() + CACHE_STEP - 1) / CACHE_STEP * CACHE_STEP;
        return whole_sequences(options.most_cells > 0 ? std::min(cells, options.most_cells) : cells);
    }

    // Sequences that are separate have room for the longest item each, and there is at least one.
    int64_t whole_sequences(int64_t cells) const {
        if (!separate()) return cells;
        return std::max<int64_t>(1, cells / longest_item()) * longest_item();
    }

    // A cache of that size, or as large as memory and the limit allow: never smaller than the longest item needs.
    void make_cache() {
        const int64_t longest = longest_item();
        if (options.most_cells > 0 && longest > options.most_cells) no_room(longest, options.most_cells);
        int64_t cells = permitted_cells();
        // Exactly what this group alone would get: with an earlier group's larger one it could be scheduled otherwise.
        if (cell_count == cells && sequence_count == sequences() && slot_count == slots_in(cells) &&
            is_separate == separate()) {
            return;
        }
        cell_count  = 0;
        is_separate = separate();
        while (!evaluator->make_room(cells, slots_in(cells), batch_tokens(), is_separate)) {
            if (cells <= longest) {
                throw error("ENGINE_MEMORY", "there is no memory for a cache of " + std::to_string(cells) + " tokens");
            }
            cells = whole_sequences(std::max(longest, cells / 2));
        }
        cell_count     = cells;
        sequence_count = sequences();
        slot_count     = slots_in(cells);
    }

    int slots_in(int64_t cells) const { return separate() ? (int) (cells / longest_item()) : sequences() + 1; }

    [[noreturn]] static void no_room(int64_t item_tokens, int64_t cells) {
        throw error("ENGINE_MEMORY", "an item of " + std::to_string(item_tokens) + " tokens does not fit a cache of " +
                                         std::to_string(cells));
    }

    // Nothing of an earlier group can reach a later one's numbers.
    void forget() {
        evaluator->clear();
        slots.assign(slot_count, answer_slot());
        kept.forget();
        cells.clear();
        queues.assign(one_shape() ? slot_count : 1, waiting_rows());
        last_slot   = -1;
        last_prompt.clear();
        last_edits.clear();
    }

    void set_adapters(const std::vector<adapter_choice> & chosen) {
        evaluator->set_adapters(chosen);
        if (cell_count > 0) forget();
    }

    void set_control_vector(const control_vector & vector) {
        evaluator->set_control_vector(vector);
        if (cell_count > 0) forget();
    }

    void set_capture(const capture_choice & choice, int64_t layers) {
        // The room for cells stays where the sites do: it is large, and memory that is new is slow at first.
        if (layout && layout->is_of(choice, layers)) {
            if (cell_count > 0) forget();
            return;
        }
        auto made = choice.sites.empty() ? nullptr : std::make_shared<state_layout>(choice, layers);
        // Records of cells have the layout before: they go first.
        if (cell_count > 0) forget();
        evaluator->set_layout(made.get());
        layout = std::move(made);
        // A second evaluator has no room yet.
        cell_count = 0;
    }

    // Gives up a slot's cells from position `first` on.
    void release(int32_t which, size_t first) {
        auto & s = slots[which];
        evaluator->release(which, (int32_t) first);
        for (size_t i = first; i < s.path.size(); i++) cells.give_up(s.path[i]);
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
        const int32_t   length = group.length(item);
        const int32_t * ids    = group.prompt(item);
        if (one_shape() && shaped_room(item) * slot_count != cell_count) {
            if (active() > 0) return false;
            make_shaped_cache(item);
            forget();
            return start_next();
        }
        // Prompts come in lexicographic order, so none before shares more with this one than the last, but for those that are kept.
        int32_t shared = 0;
        const std::vector<int32_t> * from = nullptr;
        if (last_slot >= 0 && shares()) {
            const auto &  last = slots[last_slot];
            const int32_t most = std::min({ length, (int32_t) last_prompt.size(), (int32_t) last.path.size() });
            while (shared < most && last_prompt[shared] == ids[shared] && last_edits[shared] == edits_of(item, shared)) shared++;
            shared = usable(item, last.path, shared);
            from   = &last.path;
        }
        if (const auto * path = kept.path_of(item)) {
            const int32_t most = usable(item, *path, (int32_t) path->size());
            if (most > shared) {
                shared = most;
                from   = path;
            }
        }
        if (separate()) {
            int32_t evaluated = 0;
            while (evaluated < shared && cells.pending(slots[last_slot].path[evaluated]) < 0) evaluated++;
            if (shared - evaluated >= WORTH_WAITING) return false;
            shared = std::min(evaluated, most_shared(item));
            if (one_shape()) shared -= shared % (int32_t) piece_rows();
        }
        const int64_t needed = length - shared + group.most_tokens[item];
        if (cells.used() + reserved() + needed > cell_count) {
            if (cells.used() > 0 && active() > 0) {
                count.waited++;
                return false;
            }
            // Nobody is left who could give cells up but the kept prompt.
            if (last_slot >= 0 && slots[last_slot].item < 0 && slots[last_slot].holds) {
                release(last_slot, 0);
                last_slot = -1;
                last_prompt.clear();
                last_edits.clear();
                return start_next();
            }
            if (kept.give_up(cells)) return start_next();
            no_room(length + group.most_tokens[item], cell_count);
        }
        begin_item(which, item, shared, from);
        const int32_t previous = last_slot;
        last_slot              = which;
        last_prompt.assign(ids, ids + length);
        last_edits.clear();
        for (int32_t i = 0; i < length; i++) last_edits.push_back(edits_of(item, i));
        started++;
        if (previous >= 0 && previous != which && slots[previous].item < 0 && slots[previous].holds) {
            release(previous, 0);
        }
        return true;
    }

    // How much of a beginning that was evaluated, or waits to be, serves the item.
    int32_t usable(int32_t item, const std::vector<int32_t> & path, int32_t shared) const {
        // A token that was evaluated already gives no logits again: those that are read must still be waiting.
        const int32_t first_read = group.score_from[item] - 1;
        for (int32_t i = first_read; i < shared; i++) {
            if (cells.pending(path[i]) < 0) shared = i;
        }
        // Nor is a state of it captured again.
        for (int32_t i = 0; i < shared; i++) {
            if (group.captures(item, i) && cells.pending(path[i]) < 0 && !cells.record(path[i])) shared = i;
        }
        return shared;
    }

    // Products of one row and of several have other kernels: a prompt's last token has company here as it has alone.
    int32_t most_shared(int32_t item) const {
        const int32_t length = group.length(item);
        return group.keep > 0 ? length : std::max(0, length - 2);
    }

    int64_t active() const {
        return std::count_if(slots.begin(), slots.end(), [](const answer_slot & s) { return s.item >= 0; });
    }

    // Cells that started items have still to take: their answers' tokens.
    int64_t reserved() const {
        int64_t sum = 0;
        for (const auto & s : slots) {
            if (s.item >= 0) sum += group.most_tokens[s.item] - (int64_t) (s.path.size() - group.length(s.item));
        }
        return sum;
    }

    // from: the cells that it begins with, of the last slot or of a prompt that is kept
    void begin_item(int32_t which, int32_t item, int32_t shared, const std::vector<int32_t> * from) {
        auto & s  = slots[which];
        s         = answer_slot();
        s.item    = item;
        s.holds   = true;
        const int32_t   length = group.length(item);
        const int32_t * ids    = group.prompt(item);
        int32_t         cached = 0;
        for (int32_t i = 0; i < shared; i++) {
            const int32_t id = (*from)[i];
            cells.hold(id);
            s.path.push_back(id);
            if (cells.pending(id) < 0) {
                cached = i + 1;
                continue;
            }
            auto & row = queue_of(which).at(cells.pending(id));
            row.sequences.push_back(which);
            if (group.captures(item, i)) capture(row);
        }
        // Evaluated cells come first on every path: parents are evaluated before their children.
        // Our own forward pass, which alone keeps several prompts, names cells and no sequences.
        if (cached > 0) evaluator->share(last_slot, which, cached);
        for (int32_t i = shared; i < length; i++) {
            const int32_t id = cells.take();
            const int32_t parent = s.path.empty() ? -1 : s.path.back();
            queued        row{ ids[i], i, { which }, {}, id, parent };
            row.edits = edits_of(item, i);
            if (group.captures(item, i)) capture(row);
            cells.set_pending(id, queue_of(which).push(std::move(row)));
            s.path.push_back(id);
            count.distinct_tokens++;
        }
        for (int32_t i = group.score_from[item] - 1; i < length; i++) {
            const bool last = i == length - 1;
            if (last && group.most_tokens[item] == 0 && group.top_tokens == 0 && group.read_ids.empty()) continue;
            queue_of(which).at(cells.pending(s.path[i])).readers.push_back({ which, last ? -1 : i + 1 });
            s.waiting++;
        }
    }

    void capture(queued & row) {
        if (row.record) return;
        row.record = std::make_shared<token_states>(layout, row.position);
        cells.set_record(row.owner, row.record);
    }

    // --- a batch

    bool step() {
        if (cell_count == 0) return false;
        if (starts_now()) {
            while (started < order.size() && waiting() + active() < batch_tokens() && start_next()) {
            }
        }
        std::vector<queued> rows;
        const bool          of_prompts = (separate() || description.whole_prompts) && waiting() > 0;
        if (of_prompts && one_shape()) {
            take_pieces(rows);
        } else if (of_prompts) {
            take_prompt(rows);
        } else {
            take_answers(rows);
            while (waiting() > 0 && (int64_t) rows.size() < batch_tokens()) take_waiting(rows);
        }
        if (rows.empty()) return false;
        std::vector<int32_t> edits_done(rows.size(), 0);
        for (size_t r = 0; r < rows.size(); r++) {
            if (rows[r].edits) rows[r].done = &edits_done[r];
        }
        const auto begun = std::chrono::steady_clock::now();
        evaluator->decode(rows, one_shape() ? shape.rows_each(of_prompts) : 0);
        count.decode_seconds += seconds_since(begun);
        for (size_t r = 0; r < rows.size(); r++) {
            if (edits_done[r] > 0) cells.set_edits_done(rows[r].owner, edits_done[r]);
        }
        count.decodes++;
        count.evaluated_tokens += (int64_t) rows.size();
        count.most_sequences = std::max(count.most_sequences, active());
        read_rows(rows);
        for (int32_t i = 0; i < (int32_t) slots.size(); i++) {
            const auto & s = slots[i];
            // Its last token may be read by nobody and wait all the same: its cell is not given up before it was
            // evaluated.
            if (s.item >= 0 && s.waiting == 0 && s.next < 0 && cells.pending(s.path.back()) < 0) finish(i);
        }
        return started < order.size() || active() > 0;
    }

    // The next token of every answer in the making.
    void take_answers(std::vector<queued> & rows) {
        for (int32_t i = 0; i < (int32_t) slots.size(); i++) {
            auto & s = slots[i];
            if (s.item < 0 || s.next < 0) continue;
            const int32_t id = cells.take();
            rows.push_back({ s.next, (int32_t) s.path.size(), { i }, { { i, -1 } }, id, s.path.back() });
            if (group.captures_answer(s.item)) capture(rows.back());
            rows.back().edits = edits->at(group.answer_edits(s.item));
            s.path.push_back(id);
            s.next = -1;
            count.distinct_tokens++;
        }
    }

    void take_waiting(std::vector<queued> & rows, int32_t slot = 0) {
        rows.push_back(queue_of(slot).take());
        cells.set_pending(rows.back().owner, -1);
    }

    // The next piece of every prompt that waits, in the order of their sequences.
    void take_pieces(std::vector<queued> & rows) {
        for (int32_t i = 0; i < (int32_t) slots.size(); i++) {
            for (int64_t n = std::min(piece_rows(), queue_of(i).size()); n > 0; n--) take_waiting(rows, i);
        }
    }

    // One item's prompt, and others that have as many rows: llama.cpp evaluates sequences of other lengths one after the
    // other anyway, and how many rows of its own an item is evaluated with is then a function of the item. Where a state is
    // kept, one alone: of some architectures llama.cpp cannot evaluate several tokens of several sequences at once.
    void take_prompt(std::vector<queued> & rows) {
        auto &        queue = queue_of(0);
        const int64_t many  = std::min(queue.rows_of_front(), batch_tokens());
        do {
            for (int64_t i = 0; i < many; i++) take_waiting(rows);
        } while (!description.whole_prompts && queue.rows_of_front() == many &&
                 (int64_t) rows.size() + many <= batch_tokens());
    }

    // The rows with readers, as many at once as the evaluator keeps the logits of.
    void read_rows(const std::vector<queued> & rows) {
        std::vector<int32_t> read;
        for (int32_t r = 0; r < (int32_t) rows.size(); r++) {
            if (!rows[r].readers.empty()) read.push_back(r);
        }
        const size_t at_once = (size_t) std::min<int64_t>(evaluator->logits_at_once(), (int64_t) read.size());
        for (size_t first = 0; first < read.size(); first += at_once) {
            const auto             begun = std::chrono::steady_clock::now();
            std::vector<read_work> work;
            for (size_t i = first; i < std::min(first + at_once, read.size()); i++) {
                const float * logits = evaluator->logits(read[i]);
                if (!logits) throw error("ENGINE_CRASHED", "there are no logits for row " + std::to_string(read[i]));
                work.push_back(work_of(logits, rows[read[i]]));
            }
            count.decode_seconds += seconds_since(begun);
            const auto made = std::chrono::steady_clock::now();
            reading->read(work);
            for (size_t i = 0; i < work.size(); i++) take_reading(work[i], rows[read[first + i]]);
            count.read_seconds += seconds_since(made);
        }
    }

    read_work work_of(const float * logits, const queued & entry) const {
        read_work work;
        work.logits = logits;
        for (const auto & r : entry.readers) {
            const auto & s = slots[r.slot];
            if (r.scored >= 0) continue;
            work.top = std::max({ work.top, listed(group.position_tokens), s.tokens.empty() ? listed(group.top_tokens) : 0 });
            if (group.most_tokens[s.item] == 0) continue;
            work.choices.push_back({ group.draw(s.item, s.tokens.size()), group.temperature(s.item) });
        }
        return work;
    }

    int32_t listed(int32_t tokens) const { return std::min<int32_t>(tokens, (int32_t) description.vocabulary); }

    void take_reading(const read_work & work, const queued & entry) {
        const auto &  found  = work.found;
        const float * logits = work.logits;
        size_t        drawn  = 0;
        if (!found.finite) {
            throw error("ENGINE_NOT_FINITE", "the logits after token " + std::to_string(entry.token) +
                                                 " at position " + std::to_string(entry.position) + " are not finite");
        }
        for (const auto & r : entry.readers) {
            auto & s = slots[r.slot];
            if (r.scored >= 0) {
                s.waiting--;
                const int32_t target = group.prompt(s.item)[r.scored];
                s.scores.push_back((double) logits[target] - found.log_sum_exp);
                if (!group.rows) continue;
                const int64_t row = group.row_of(s.item, r.scored);
                if (group.compares) group.rows->compare(row, logits, target);
                else group.rows->keep(row, logits);
                continue;
            }
            const bool first = s.tokens.empty();
            if (first) {
                s.waiting--;
                s.log_sum_exp = found.log_sum_exp;
                if (group.top_tokens > 0) {
                    s.top_ids.assign(work.top_ids.begin(), work.top_ids.begin() + listed(group.top_tokens));
                    for (auto id : s.top_ids) s.top_logprobs.push_back((double) logits[id] - found.log_sum_exp);
                }
                for (auto id : group.read_ids) s.read_logprobs.push_back((double) logits[id] - found.log_sum_exp);
            }
            if (group.most_tokens[s.item] == 0) continue;
            const int32_t token = work.tokens[drawn++];
            s.tokens.push_back(token);
            s.logprobs.push_back((double) logits[token] - found.log_sum_exp);
            s.entropies.push_back(found.entropy);
            s.margins.push_back(found.margin);
            if (group.position_tokens >= 0) {
                s.position_log_sum_exps.push_back(found.log_sum_exp);
                for (int32_t i = 0; i < listed(group.position_tokens); i++) {
                    const int32_t id = work.top_ids[i];
                    s.position_ids.push_back(id);
                    s.position_logprobs.push_back((double) logits[id] - found.log_sum_exp);
                }
            }
            const bool longest = (int32_t) s.tokens.size() >= group.most_tokens[s.item];
            s.next             = longest || ends(token) ? -1 : token;
        }
    }

    bool ends(int32_t token) const { return llama.vocab_is_eog(vocab, token) || group.ends(token); }

    void finish(int32_t which) {
        auto & s = slots[which];
        s.append_to(finished, !s.tokens.empty() && ends(s.tokens.back()));
        hand_over_states(s);
        int32_t done = 0;
        for (const int32_t id : s.path) done += cells.edits_done(id);
        finished.edits_done.push_back(done);
        kept.keep(s.item, s.path, cells);
        size_t keep = 0;
        // What is kept takes a sequence: with one there would be none left to answer in.
        if (which == last_slot && slot_count > 1 && shares()) {
            keep = started < order.size() ? (size_t) group.length(s.item) : (size_t) group.keep;
            last_prompt.resize(keep);
            last_edits.resize(keep);
            if (keep == 0) last_slot = -1;
        }
        s.item = -1;
        release(which, keep);
    }

    void hand_over_states(const answer_slot & s) {
        const int32_t length = group.length(s.item), before = (int32_t) finished.state_positions.size();
        for (int32_t i = 0; i < (int32_t) s.path.size(); i++) {
            const bool wanted = i < length ? group.captures(s.item, i) : group.captures_answer(s.item);
            if (!wanted) continue;
            const auto & record = cells.record(s.path[i]);
            const int32_t token = i < length ? group.prompt(s.item)[i] : s.tokens[i - length];
            if (!record) throw error("INTERNAL", "there is no record of the token at position " + std::to_string(i));
            record->require_whole(token);
            finished.state_positions.push_back(i);
            finished.states.push_back(record);
        }
        finished.state_counts.push_back((int32_t) finished.state_positions.size() - before);
    }

    void cancel() {
        started = order.size();
        if (cell_count > 0) forget();
    }
};

engine::engine(const engine_options & options) : p(std::make_unique<impl>(options)) {}
engine::~engine() = default;

const engine_description & engine::describe() const { return p->description; }
vocabulary     engine::words() const { return vocabulary(p->llama, p->vocab); }
void           engine::set_adapters(const std::vector<adapter_choice> & adapters) { p->set_adapters(adapters); }
void           engine::set_capture(const capture_choice & c, int64_t layers) { p->set_capture(c, layers); }
void engine::set_control_vector(std::vector<float> values, int32_t width, int32_t first, int32_t last) {
    p->set_control_vector({ std::move(values), width, first, last });
}
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
