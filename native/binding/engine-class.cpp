// The asking engine as a JavaScript class.
#include <cmath>
#include <cstring>
#include <memory>

#include "addon.h"
#include "inward/engine.h"
#include "inward/logit-rows.h"

namespace {

// What any other object has not: to take one for rows would read somebody else's memory.
constexpr napi_type_tag ROWS_TAG = { 0x9a6f0c1be2d84d37, 0xb1f3a7c05e284f96 };

// Typed arrays of JavaScript in, doubles out: [rows x 10], as row_comparison has them.
class LogitRows : public Napi::ObjectWrap<LogitRows> {
public:
    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "LogitRows",
                           { InstanceMethod<&LogitRows::compared>("compared"),
                             InstanceMethod<&LogitRows::compare_anew>("compareAnew"),
                             InstanceMethod<&LogitRows::kept>("kept"),
                             InstanceMethod<&LogitRows::keep>("keep"),
                             InstanceMethod<&LogitRows::keep_logprobs>("keepLogprobs"),
                             InstanceMethod<&LogitRows::compare>("compare"),
                             InstanceMethod<&LogitRows::dispose>("dispose") });
    }

    explicit LogitRows(const Napi::CallbackInfo & info) : Napi::ObjectWrap<LogitRows>(info) {
        auto env = info.Env();
        if (info.Length() < 2 || !info[0].IsNumber() || !info[1].IsNumber()) coded(env, "TRAIN_SHAPE", "rows want two numbers");
        const auto count = info[0].As<Napi::Number>().Int64Value(), width = info[1].As<Napi::Number>().Int64Value();
        guarded(env, [&] { rows = std::make_shared<inward::logit_rows>(count, width); });
        info.This().As<Napi::Object>().TypeTag(&ROWS_TAG);
    }

    // throws where it is no LogitRows, or one that was disposed of
    static std::shared_ptr<inward::logit_rows> of(Napi::Env env, const Napi::Object & object) {
        if (!object.CheckTypeTag(&ROWS_TAG)) coded(env, "TRAIN_SHAPE", "rows are no LogitRows");
        auto found = Unwrap(object)->rows;
        if (!found) coded(env, "ENGINE_UNAVAILABLE", "these rows were disposed of");
        return found;
    }

    std::shared_ptr<inward::logit_rows> rows;

private:
    inward::logit_rows & open(Napi::Env env) {
        if (!rows) coded(env, "ENGINE_UNAVAILABLE", "these rows were disposed of");
        return *rows;
    }

    int64_t row_in(const Napi::CallbackInfo & info) {
        const int64_t row = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Int64Value() : -1;
        if (row < 0 || row >= open(info.Env()).rows()) coded(info.Env(), "TRAIN_SHAPE", "there is no such row");
        return row;
    }

    Napi::Value compared(const Napi::CallbackInfo & info) {
        constexpr size_t FIELDS = sizeof(inward::row_comparison) / sizeof(double);
        const auto &     all    = open(info.Env()).compared();
        auto             made   = Napi::Float64Array::New(info.Env(), all.size() * FIELDS);
        std::memcpy(made.Data(), all.data(), all.size() * sizeof(inward::row_comparison));
        return made;
    }

    Napi::Value compare_anew(const Napi::CallbackInfo & info) {
        open(info.Env()).compare_anew();
        return info.Env().Undefined();
    }

    Napi::Value kept(const Napi::CallbackInfo & info) {
        const int64_t row  = row_in(info);
        const auto    size = (size_t) rows->vocabulary();
        auto          made = Napi::Float32Array::New(info.Env(), size);
        std::memcpy(made.Data(), rows->kept(row), size * sizeof(float));
        return made;
    }

    // Of the second argument, one number for each token; after row_in, which knows that the rows are there.
    const float * floats_in(const Napi::CallbackInfo & info) {
        if (info.Length() < 2 || !info[1].IsTypedArray() ||
            info[1].As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
            (int64_t) info[1].As<Napi::TypedArray>().ElementLength() != rows->vocabulary()) {
            coded(info.Env(), "TRAIN_SHAPE", "a row wants as many floats as the vocabulary has tokens");
        }
        return info[1].As<Napi::Float32Array>().Data();
    }

    Napi::Value keep(const Napi::CallbackInfo & info) {
        const int64_t row = row_in(info);
        rows->keep(row, floats_in(info));
        return info.Env().Undefined();
    }

    Napi::Value keep_logprobs(const Napi::CallbackInfo & info) {
        const int64_t row = row_in(info);
        rows->keep_logprobs(row, floats_in(info));
        return info.Env().Undefined();
    }

    Napi::Value compare(const Napi::CallbackInfo & info) {
        auto          env    = info.Env();
        const int64_t row    = row_in(info);
        const float * logits = floats_in(info);
        const double  id     = info.Length() > 2 && info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : -1;
        // NaN is none either, and would become 0.
        if (!(id >= 0 && id < (double) rows->vocabulary() && id == std::floor(id))) {
            coded(env, "TRAIN_SHAPE", "the token that follows is none of the vocabulary");
        }
        guarded(env, [&] { rows->compare(row, logits, (int32_t) id); });
        return env.Undefined();
    }

    Napi::Value dispose(const Napi::CallbackInfo & info) {
        rows.reset();
        return info.Env().Undefined();
    }
};

inward::intervention_table interventions_of(Napi::Env env, const Napi::Object & from) {
    const auto integers = [&](const char * key) {
        return list<int32_t, Napi::Int32Array>(env, from, key, napi_int32_array);
    };
    const auto floats = [&](const char * key) {
        return list<float, Napi::Float32Array>(env, from, key, napi_float32_array);
    };
    inward::intervention_table t;
    t.model_layers  = (int64_t) number(from, "modelLayers", 0);
    t.head_width    = (int64_t) number(from, "headWidth", 0);
    t.values        = floats("values");
    t.factors       = floats("factors");
    t.parts         = integers("parts");
    t.layers        = integers("layers");
    t.widths        = integers("widths");
    t.operations    = integers("operations");
    t.vector_starts = integers("vectorStarts");
    t.vectors       = integers("vectors");
    t.head_starts   = integers("headStarts");
    t.heads         = integers("heads");
    t.set_starts    = integers("setStarts");
    t.sets          = integers("sets");
    t.token_sets    = integers("tokenSets");
    t.answer_sets   = integers("answerSets");
    return t;
}

class Engine : public Napi::ObjectWrap<Engine> {
public:
    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "Engine",
                           { InstanceMethod<&Engine::describe>("describe"),
                             InstanceMethod<&Engine::vocabulary>("vocabulary"),
                             InstanceMethod<&Engine::tokenize>("tokenize"),
                             InstanceMethod<&Engine::detokenize>("detokenize"),
                             InstanceMethod<&Engine::set_adapters>("setAdapters"),
                             InstanceMethod<&Engine::set_control_vector>("setControlVector"),
                             InstanceMethod<&Engine::set_capture>("setCapture"),
                             InstanceMethod<&Engine::begin>("begin"),
                             InstanceMethod<&Engine::step>("step"),
                             InstanceMethod<&Engine::take>("take"),
                             InstanceMethod<&Engine::cancel>("cancel"),
                             InstanceMethod<&Engine::counts>("counts"),
                             InstanceMethod<&Engine::dispose>("dispose") });
    }

    explicit Engine(const Napi::CallbackInfo & info) : Napi::ObjectWrap<Engine>(info) {
        auto env = info.Env();
        if (info.Length() < 1 || !info[0].IsObject()) {
            coded(env, "ENGINE_UNAVAILABLE", "the engine's options are missing");
        }
        auto                   from = info[0].As<Napi::Object>();
        inward::engine_options o;
        o.model_path      = text(from, "modelPath");
        o.binaries_folder = text(from, "binariesFolder");
        o.fallback_folder = text(from, "fallbackFolder");
        o.device          = text(from, "device");
        o.threads         = (int) number(from, "threads", 1);
        o.sequences       = (int) number(from, "sequences", 1);
        o.batch_tokens    = (int64_t) number(from, "batchTokens", 512);
        o.most_cells      = (int64_t) number(from, "mostCells", 0);
        o.strict          = from.Get("strict").ToBoolean();
        o.separate_sequences = from.Get("separateSequences").ToBoolean();
        o.invariant       = from.Get("invariant").ToBoolean();
        o.least_rows      = (int64_t) number(from, "leastRows", 0);
        o.flash_attention = from.Get("flashAttention").ToBoolean();
        o.own_forward     = text(from, "forward") == "own";
        o.f32_cache       = text(from, "cacheType") != "f16";
        o.short_context   = (int64_t) number(from, "shortContext", 0);
        o.architecture    = text(from, "architecture");
        o.one_at_a_time   = from.Get("oneAtATime").ToBoolean();
        if (from.Get("deviceLayers").IsArray()) {
            auto layers = from.Get("deviceLayers").As<Napi::Array>();
            for (uint32_t i = 0; i < layers.Length(); i++) o.device_layers.push_back(layers.Get(i).ToNumber().Int32Value());
        }
        guarded(env, [&] { engine_ = std::make_unique<inward::engine>(o); });
    }

private:
    std::unique_ptr<inward::engine> engine_;

    inward::engine & engine(Napi::Env env) {
        if (!engine_) coded(env, "ENGINE_UNAVAILABLE", "this engine was disposed of");
        return *engine_;
    }

    Napi::Value describe(const Napi::CallbackInfo & info) {
        auto         env  = info.Env();
        const auto & d    = engine(env).describe();
        auto         made = Napi::Object::New(env);
        made.Set("llamaCpp", INWARD_LLAMA_CPP);
        made.Set("deviceName", d.device_name);
        made.Set("vocabularySize", (double) d.vocabulary);
        made.Set("contextTokens", (double) d.context);
        made.Set("wholePrompts", d.whole_prompts);
        made.Set("anyTemperature", true);
        made.Set("intervenes", true);
        made.Set("window", (double) d.window);
        if (!d.kernels.empty()) made.Set("kernels", d.kernels);
        made.Set("loadLog", d.load_log);
        return made;
    }

    Napi::Value vocabulary(const Napi::CallbackInfo & info) {
        return vocabulary_facts(info.Env(), engine(info.Env()).words());
    }
    Napi::Value tokenize(const Napi::CallbackInfo & info) { return token_ids(info, engine(info.Env()).words()); }
    Napi::Value detokenize(const Napi::CallbackInfo & info) { return token_text(info, engine(info.Env()).words()); }

    Napi::Value set_adapters(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            std::vector<inward::adapter_choice> chosen;
            if (info.Length() > 0 && info[0].IsArray()) {
                auto list = info[0].As<Napi::Array>();
                for (uint32_t i = 0; i < list.Length(); i++) {
                    auto one = list.Get(i).As<Napi::Object>();
                    chosen.push_back({ text(one, "path"), (float) number(one, "scale", 1) });
                }
            }
            engine(env).set_adapters(chosen);
            return env.Undefined();
        });
    }

    Napi::Value set_control_vector(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            if (info.Length() < 1 || !info[0].IsObject()) coded(env, "TRAIN_SHAPE", "the control vector is missing");
            auto from = info[0].As<Napi::Object>();
            engine(env).set_control_vector(list<float, Napi::Float32Array>(env, from, "values", napi_float32_array),
                                           (int32_t) number(from, "width", 0), (int32_t) number(from, "first", 0),
                                           (int32_t) number(from, "last", 0));
            return env.Undefined();
        });
    }

    Napi::Value set_capture(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            if (info.Length() < 1 || !info[0].IsObject()) coded(env, "TRAIN_SHAPE", "what is to be captured is missing");
            auto       from   = info[0].As<Napi::Object>();
            const auto parts  = list<int32_t, Napi::Int32Array>(env, from, "parts", napi_int32_array);
            const auto layers = list<int32_t, Napi::Int32Array>(env, from, "layers", napi_int32_array);
            const auto widths = list<int32_t, Napi::Int32Array>(env, from, "widths", napi_int32_array);
            if (parts.size() != layers.size() || parts.size() != widths.size()) {
                coded(env, "TRAIN_SHAPE", "sites have as many parts as layers and widths");
            }
            inward::capture_choice choice;
            for (size_t i = 0; i < parts.size(); i++) {
                choice.sites.push_back({ (inward::state_part) parts[i], layers[i], widths[i] });
            }
            choice.half = text(from, "dtype") == "f16";
            engine(env).set_capture(choice, (int64_t) number(from, "modelLayers", 0));
            return env.Undefined();
        });
    }

    Napi::Value begin(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            if (info.Length() < 1 || !info[0].IsObject()) coded(env, "TRAIN_SHAPE", "the group is missing");
            auto                from = info[0].As<Napi::Object>();
            inward::engine_work w;
            w.tokens      = list<int32_t, Napi::Int32Array>(env, from, "tokenIds", napi_int32_array);
            w.starts      = list<int32_t, Napi::Int32Array>(env, from, "starts", napi_int32_array);
            w.score_from  = list<int32_t, Napi::Int32Array>(env, from, "scoreFrom", napi_int32_array);
            w.most_tokens = list<int32_t, Napi::Int32Array>(env, from, "maxTokens", napi_int32_array);
            w.draws       = list<double, Napi::Float64Array>(env, from, "draws", napi_float64_array);
            if (from.Has("temperatures")) {
                w.temperatures = list<double, Napi::Float64Array>(env, from, "temperatures", napi_float64_array);
            }
            w.read_ids    = list<int32_t, Napi::Int32Array>(env, from, "readIds", napi_int32_array);
            if (from.Has("capture")) w.capture = list<uint8_t, Napi::Uint8Array>(env, from, "capture", napi_uint8_array);
            if (from.Has("captureAnswers")) {
                w.capture_answers = list<uint8_t, Napi::Uint8Array>(env, from, "captureAnswers", napi_uint8_array);
            }
            if (from.Get("interventions").IsObject()) {
                w.interventions = interventions_of(env, from.Get("interventions").As<Napi::Object>());
            }
            if (from.Has("endIds")) w.end_ids = list<int32_t, Napi::Int32Array>(env, from, "endIds", napi_int32_array);
            w.top_tokens  = (int32_t) number(from, "topTokens", 0);
            w.position_tokens = (int32_t) number(from, "positionTokens", -1);
            w.sequences   = (int32_t) number(from, "sequences", 0);
            w.keep        = (int32_t) number(from, "keep", 0);
            if (from.Has("keeps")) w.keeps = list<int32_t, Napi::Int32Array>(env, from, "keeps", napi_int32_array);
            if (from.Get("rows").IsObject()) {
                w.rows     = LogitRows::of(env, from.Get("rows").As<Napi::Object>());
                w.compares = from.Get("compares").ToBoolean();
            }
            engine(env).begin(std::move(w));
            return env.Undefined();
        });
    }

    Napi::Value step(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value { return Napi::Boolean::New(env, engine(env).step()); });
    }

    Napi::Value take(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            const auto r    = engine(env).take();
            auto       made = Napi::Object::New(env);
            made.Set("items", typed<Napi::Int32Array>(env, r.items));
            made.Set("counts", typed<Napi::Int32Array>(env, r.counts));
            made.Set("tokenIds", typed<Napi::Int32Array>(env, r.tokens));
            made.Set("logprobs", typed<Napi::Float64Array>(env, r.logprobs));
            made.Set("margins", typed<Napi::Float64Array>(env, r.margins));
            made.Set("entropies", typed<Napi::Float64Array>(env, r.entropies));
            made.Set("ended", typed<Napi::Uint8Array>(env, r.ended));
            made.Set("scoreCounts", typed<Napi::Int32Array>(env, r.score_counts));
            made.Set("scores", typed<Napi::Float64Array>(env, r.scores));
            made.Set("logSumExps", typed<Napi::Float64Array>(env, r.log_sum_exps));
            made.Set("topIds", typed<Napi::Int32Array>(env, r.top_ids));
            made.Set("topLogprobs", typed<Napi::Float64Array>(env, r.top_logprobs));
            made.Set("readLogprobs", typed<Napi::Float64Array>(env, r.read_logprobs));
            made.Set("positionLogSumExps", typed<Napi::Float64Array>(env, r.position_log_sum_exps));
            made.Set("positionIds", typed<Napi::Int32Array>(env, r.position_ids));
            made.Set("positionLogprobs", typed<Napi::Float64Array>(env, r.position_logprobs));
            made.Set("editsDone", typed<Napi::Int32Array>(env, r.edits_done));
            made.Set("stateCounts", typed<Napi::Int32Array>(env, r.state_counts));
            made.Set("statePositions", typed<Napi::Int32Array>(env, r.state_positions));
            made.Set("siteStates", site_states(env, r, info.Length() > 0 ? info[0] : env.Undefined()));
            return made;
        });
    }

    // At the beginning of `into` where that is an array with room for them.
    static Napi::Uint8Array site_states(Napi::Env env, const inward::engine_results & r, Napi::Value into) {
        const size_t bytes = inward::bytes_of(r.states);
        const bool   given = into.IsTypedArray() && into.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array &&
                           into.As<Napi::Uint8Array>().ElementLength() >= bytes;
        auto to = given ? into.As<Napi::Uint8Array>() : Napi::Uint8Array::New(env, bytes);
        inward::write_states(r.states, r.state_counts, to.Data());
        if (!given) return to;
        // Of memory that threads share too, which an array can only be made of by the language itself.
        const auto part = to.Get("subarray").As<Napi::Function>();
        return part.Call(to, { Napi::Number::New(env, 0), Napi::Number::New(env, (double) bytes) }).As<Napi::Uint8Array>();
    }

    Napi::Value cancel(const Napi::CallbackInfo & info) {
        engine(info.Env()).cancel();
        return info.Env().Undefined();
    }

    Napi::Value counts(const Napi::CallbackInfo & info) {
        auto       env  = info.Env();
        const auto c    = engine(env).counts();
        auto       made = Napi::Object::New(env);
        made.Set("evaluatedTokens", (double) c.evaluated_tokens);
        made.Set("distinctTokens", (double) c.distinct_tokens);
        made.Set("decodes", (double) c.decodes);
        made.Set("mostSequences", (double) c.most_sequences);
        made.Set("waited", (double) c.waited);
        made.Set("cells", (double) c.cells);
        made.Set("wantedCells", (double) c.wanted_cells);
        made.Set("decodeSeconds", c.decode_seconds);
        made.Set("readSeconds", c.read_seconds);
        return made;
    }

    Napi::Value dispose(const Napi::CallbackInfo & info) {
        engine_.reset();
        return info.Env().Undefined();
    }
};

}  // namespace

Napi::Function define_engine(Napi::Env env) { return Engine::define(env); }
Napi::Function define_logit_rows(Napi::Env env) { return LogitRows::define(env); }
