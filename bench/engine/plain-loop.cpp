// A peer of engine-items-per-second.mjs: what a user of llama.cpp writes by hand, on its public C API alone. Prompts are taken in
// groups of as many as there are sequences; a group is evaluated whole, then generates one token of each answer per evaluation.
// plain-loop FOLDER MODEL IDS WARM_UP SEQUENCES MOST_TOKENS THREADS UBATCH f32|f16 own|unified
// FOLDER holds ggml's backends. IDS has one prompt a line, token ids between blanks; the first WARM_UP of them are not timed.
// The last one is the KV cache: one for each sequence, as is llama.cpp's default, or one for all.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

using tokens = std::vector<llama_token>;

static void fail(const std::string & what) {
    fprintf(stderr, "plain-loop: %s\n", what.c_str());
    exit(1);
}

static std::vector<tokens> read_prompts(const char * path) {
    std::ifstream       file(path);
    std::vector<tokens> prompts;
    for (std::string line; std::getline(file, line);) {
        std::istringstream numbers(line);
        prompts.emplace_back();
        for (llama_token id; numbers >> id;) prompts.back().push_back(id);
    }
    if (prompts.empty()) fail("no prompts");
    return prompts;
}

static double cpu_seconds() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval & t) { return t.tv_sec + t.tv_usec / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct loop {
    llama_context *     context;
    const llama_vocab * vocab;
    llama_batch         batch;
    int                 vocabulary, sequences, most_tokens;
    long                evaluated = 0;

    void add(llama_token id, int position, int sequence, bool wants_logits) {
        const int i        = batch.n_tokens++;
        batch.token[i]     = id;
        batch.pos[i]       = position;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = sequence;
        batch.logits[i]    = wants_logits;
    }

    void decode() {
        if (llama_decode(context, batch) != 0) fail("llama_decode");
        evaluated += batch.n_tokens;
    }

    // Of the row that stands at this place in the batch.
    llama_token best(int row) {
        const float * logits = llama_get_logits_ith(context, row);
        return (llama_token) (std::max_element(logits, logits + vocabulary) - logits);
    }

    void group(const tokens * prompts, tokens * answers, int count) {
        llama_memory_clear(llama_get_memory(context), false);
        std::vector<int> rows(count, -1);
        batch.n_tokens = 0;
        for (int s = 0; s < count; s++) {
            const int length = (int) prompts[s].size();
            for (int i = 0; i < length; i++) add(prompts[s][i], i, s, i == length - 1);
            rows[s] = batch.n_tokens - 1;
        }
        for (;;) {
            decode();
            batch.n_tokens = 0;
            for (int s = 0; s < count; s++) {
                if (rows[s] < 0) continue;
                const llama_token id = best(rows[s]);
                rows[s]              = -1;
                answers[s].push_back(id);
                if (llama_vocab_is_eog(vocab, id) || (int) answers[s].size() == most_tokens) continue;
                rows[s] = batch.n_tokens;
                add(id, (int) (prompts[s].size() + answers[s].size()) - 1, s, true);
            }
            if (batch.n_tokens == 0) return;
        }
    }

    std::vector<tokens> ask(const tokens * prompts, int count) {
        std::vector<tokens> answers(count);
        for (int at = 0; at < count; at += sequences) group(prompts + at, answers.data() + at, std::min(sequences, count - at));
        return answers;
    }
};

int main(int argc, char ** argv) {
    if (argc != 11) fail("needs ten arguments");
    const auto prompts = read_prompts(argv[3]);
    const int  warm_up = atoi(argv[4]), sequences = atoi(argv[5]), most_tokens = atoi(argv[6]), threads = atoi(argv[7]);
    size_t     longest = 0;
    for (const auto & prompt : prompts) longest = std::max(longest, prompt.size());

    llama_log_set([](ggml_log_level level, const char * text, void *) { if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr); }, nullptr);
    ggml_backend_load_all_from_path(argv[1]);
    auto model_params         = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    // Without one, llama.cpp prints dots.
    model_params.progress_callback = [](float, void *) { return true; };
    llama_model * model       = llama_model_load_from_file(argv[2], model_params);
    if (!model) fail("the model cannot be loaded");
    auto params            = llama_context_default_params();
    params.n_seq_max       = (uint32_t) sequences;
    params.n_batch         = (uint32_t) (sequences * longest);
    params.n_ubatch        = (uint32_t) atoi(argv[8]);
    // llama.cpp pads each sequence's share to this.
    params.n_ctx           = (uint32_t) (sequences * ((longest + most_tokens + 255) / 256 * 256));
    params.n_threads       = threads;
    params.n_threads_batch = threads;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = params.type_v = std::string(argv[9]) == "f32" ? GGML_TYPE_F32 : GGML_TYPE_F16;
    params.kv_unified      = std::string(argv[10]) == "unified";
    llama_context * context       = llama_init_from_model(model, params);
    if (!context) fail("there is no context");
    const llama_vocab * vocab = llama_model_get_vocab(model);

    loop work{ context, vocab, llama_batch_init((int) params.n_batch, 0, 1), llama_vocab_n_tokens(vocab), sequences, most_tokens };
    work.ask(prompts.data(), warm_up);
    work.evaluated        = 0;
    const double cpu      = cpu_seconds();
    const auto   begun    = std::chrono::steady_clock::now();
    const auto   answers  = work.ask(prompts.data() + warm_up, (int) prompts.size() - warm_up);
    const double seconds  = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    const double cpu_used = cpu_seconds() - cpu;
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);

    printf("{\"seconds\":%.6f,\"cpuSeconds\":%.6f,\"items\":%zu,\"evaluatedTokens\":%ld,\"peakBytes\":%ld,\"answers\":[", seconds, cpu_used,
           answers.size(), work.evaluated, usage.ru_maxrss * 1024L);
    for (size_t item = 0; item < answers.size(); item++) {
        printf("%s{\"tokenIds\":[", item ? "," : "");
        for (size_t i = 0; i < answers[item].size(); i++) printf("%s%d", i ? "," : "", answers[item][i]);
        printf("]}");
    }
    printf("]}\n");
    llama_batch_free(work.batch);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
