// The trainer as a JavaScript class.
#include <map>
#include <memory>

#include "addon.h"
#include "inward/trainer.h"

namespace {

inward::microbatch batch_of(const Napi::CallbackInfo & info) {
    auto env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) coded(env, "TRAIN_SHAPE", "a microbatch is missing");
    auto from = info[0].As<Napi::Object>();
    inward::microbatch b;
    b.token_ids       = list<int32_t, Napi::Int32Array>(env, from, "tokenIds", napi_int32_array);
    b.positions       = list<int32_t, Napi::Int32Array>(env, from, "positions", napi_int32_array);
    b.segment_starts  = list<int32_t, Napi::Int32Array>(env, from, "segmentStarts", napi_int32_array);
    b.segment_parents = list<int32_t, Napi::Int32Array>(env, from, "segmentParents", napi_int32_array);
    b.loss_rows       = list<int32_t, Napi::Int32Array>(env, from, "lossRows", napi_int32_array);
    b.loss_targets    = list<int32_t, Napi::Int32Array>(env, from, "lossTargets", napi_int32_array);
    b.loss_weights    = list<float, Napi::Float32Array>(env, from, "lossWeights", napi_float32_array);
    return b;
}

Napi::Object numbers(Napi::Env env, const std::map<std::string, double> & from) {
    auto made = Napi::Object::New(env);
    for (const auto & [key, value] : from) made.Set(key, value);
    return made;
}

Napi::Object memory_of(Napi::Env env, const inward::memory_plan & plan) {
    auto     devices = Napi::Array::New(env, plan.devices.size());
    uint64_t weights = 0, adapter = 0, compute = plan.host_compute, optimizer = 0, copies = 0;
    for (uint32_t i = 0; i < plan.devices.size(); i++) {
        const auto & from = plan.devices[i];
        auto         one  = Napi::Object::New(env);
        one.Set("device", from.device);
        one.Set("layers", (double) from.layers);
        one.Set("streamedLayers", (double) from.streamed);
        one.Set("neededBytes", (double) from.needed());
        one.Set("availableBytes", (double) from.available);
        devices.Set(i, one);
        weights += from.weights;
        adapter += from.adapter;
        compute += from.compute;
        optimizer += from.optimizer;
        copies += from.copies;
    }
    auto memory = Napi::Object::New(env);
    memory.Set("weightBytes", (double) weights);
    memory.Set("adapterBytes", (double) adapter);
    memory.Set("computeBytes", (double) compute);
    memory.Set("optimizerBytes", (double) optimizer);
    memory.Set("copyBytes", (double) copies);
    memory.Set("streamedBytes", (double) plan.host_weights);
    memory.Set("hostBytes", (double) plan.host);
    memory.Set("scratchBytes", (double) plan.scratch);
    memory.Set("totalBytes", (double) plan.total());
    memory.Set("devices", devices);
    memory.Set("hostNeededBytes", (double) plan.host_needed());
    memory.Set("hostAvailableBytes", (double) plan.host_available);
    return memory;
}

class Trainer : public Napi::ObjectWrap<Trainer> {
public:
    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "Trainer",
                           { InstanceMethod<&Trainer::describe>("describe"),
                             InstanceMethod<&Trainer::accumulate>("accumulate"),
                             InstanceMethod<&Trainer::evaluate>("evaluate"),
                             InstanceMethod<&Trainer::logits>("logits"),
                             InstanceMethod<&Trainer::update>("update"),
                             InstanceMethod<&Trainer::gradients>("gradients"),
                             InstanceMethod<&Trainer::zero_gradients>("zeroGradients"),
                             InstanceMethod<&Trainer::state>("state"),
                             InstanceMethod<&Trainer::set_state>("setState"),
                             InstanceMethod<&Trainer::profile>("profile"),
                             InstanceMethod<&Trainer::dispose>("dispose") });
    }

    explicit Trainer(const Napi::CallbackInfo & info) : Napi::ObjectWrap<Trainer>(info) {
        auto env = info.Env();
        if (info.Length() < 1 || !info[0].IsObject()) coded(env, "TRAIN_SETTINGS", "options are missing");
        auto                    from = info[0].As<Napi::Object>();
        inward::trainer_options o;
        o.model_path               = text(from, "modelPath");
        o.binaries_folder          = text(from, "binariesFolder");
        o.fallback_folder          = text(from, "fallbackFolder");
        o.device                   = text(from, "device");
        o.device_layers            = (int64_t) number(from, "deviceLayers", -1);
        o.threads                  = (int) number(from, "threads");
        o.rank                     = (int) number(from, "rank");
        o.alpha                    = (float) number(from, "alpha");
        o.dropout                  = (float) number(from, "dropout");
        o.activation_checkpointing = from.Get("activationCheckpointing").ToBoolean();
        o.max_microbatch_tokens    = (int64_t) number(from, "maxMicrobatchTokens");
        o.max_loss_rows            = (int64_t) number(from, "maxLossRows");
        o.exact                    = from.Get("exact").ToBoolean();
        o.ggml_operations          = from.Get("ggmlOperations").ToBoolean();
        o.least_columns            = (int64_t) number(from, "leastColumns", 1);
        o.loss_scale               = (float) number(from, "lossScale", 1);
        o.memory_limit             = (uint64_t) number(from, "memoryLimitBytes");
        if (from.Get("targets").IsArray()) {
            auto targets = from.Get("targets").As<Napi::Array>();
            for (uint32_t i = 0; i < targets.Length(); i++) o.targets.push_back(targets.Get(i).ToString().Utf8Value());
        }
        if (from.Get("kernels").IsObject()) {
            auto kernels = from.Get("kernels").As<Napi::Object>();
            auto names   = kernels.GetPropertyNames();
            for (uint32_t i = 0; i < names.Length(); i++) {
                auto key       = names.Get(i).ToString().Utf8Value();
                o.kernels[key] = kernels.Get(key).ToString().Utf8Value();
            }
        }
        guarded(env, [&] { trainer_ = std::make_unique<inward::trainer>(o); });
    }

private:
    std::unique_ptr<inward::trainer> trainer_;

    inward::trainer & trainer(Napi::Env env) {
        if (!trainer_) coded(env, "TRAIN_SHAPE", "this trainer was disposed of");
        return *trainer_;
    }

    Napi::Value describe(const Napi::CallbackInfo & info) {
        auto         env  = info.Env();
        const auto & d    = trainer(env).describe();
        auto         made = Napi::Object::New(env);
        made.Set("llamaCpp", INWARD_LLAMA_CPP);
        made.Set("deviceName", d.device_name);
        made.Set("architecture", d.architecture);
        const std::pair<const char *, int64_t> counts[] = {
            { "layers", d.layers },           { "embedding", d.embedding },      { "heads", d.heads },
            { "keyValueHeads", d.kv_heads },  { "feedForward", d.feed_forward }, { "vocabulary", d.vocabulary },
            { "contextTokens", d.context },   { "parameters", d.parameters },
        };
        for (const auto & [key, value] : counts) made.Set(key, (double) value);
        auto tensors = Napi::Array::New(env, d.tensors.size());
        for (uint32_t i = 0; i < d.tensors.size(); i++) {
            auto tensor     = Napi::Object::New(env);
            auto dimensions = Napi::Array::New(env, 2);
            dimensions.Set(0u, (double) d.tensors[i].ne0);
            dimensions.Set(1u, (double) d.tensors[i].ne1);
            tensor.Set("name", d.tensors[i].name);
            tensor.Set("dimensions", dimensions);
            tensor.Set("offset", (double) d.tensors[i].offset);
            tensors.Set(i, tensor);
        }
        made.Set("tensors", tensors);
        auto kernels = Napi::Object::New(env);
        for (const auto & [key, value] : d.kernels) kernels.Set(key, value);
        made.Set("kernels", kernels);
        auto timings = Napi::Object::New(env);
        for (const auto & [key, value] : d.kernel_timings) timings.Set(key, value);
        made.Set("kernelTimings", timings);
        auto fallbacks = Napi::Object::New(env);
        for (const auto & [key, value] : d.fallbacks) fallbacks.Set(key, value);
        made.Set("fallbacks", fallbacks);
        made.Set("memory", memory_of(env, d.memory));
        return made;
    }

    Napi::Value accumulate(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            const bool     seeded = info.Length() > 1 && info[1].IsNumber();
            const uint64_t seed   = seeded ? (uint64_t) info[1].As<Napi::Number>().DoubleValue() : 0;
            return Napi::Number::New(env, trainer(env).accumulate(batch_of(info), seed));
        });
    }

    Napi::Value evaluate(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            const auto result   = trainer(env).evaluate(batch_of(info));
            auto       logprobs = Napi::Float32Array::New(env, result.logprobs.size());
            auto       is_best  = Napi::Uint8Array::New(env, result.is_best.size());
            std::copy(result.logprobs.begin(), result.logprobs.end(), logprobs.Data());
            std::copy(result.is_best.begin(), result.is_best.end(), is_best.Data());
            auto made = Napi::Object::New(env);
            made.Set("logprobs", logprobs);
            made.Set("isBest", is_best);
            return made;
        });
    }

    Napi::Value logits(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            const auto values = trainer(env).logits(batch_of(info));
            auto       made   = Napi::Float32Array::New(env, values.size());
            std::copy(values.begin(), values.end(), made.Data());
            return made;
        });
    }

    Napi::Value update(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value {
            if (info.Length() < 1 || !info[0].IsObject()) {
                coded(env, "TRAIN_SETTINGS", "the update's settings are missing");
            }
            auto from = info[0].As<Napi::Object>();
            inward::adamw_step s;
            s.learning_rate     = (float) number(from, "learningRate");
            s.weight_decay      = (float) number(from, "weightDecay");
            s.beta1             = (float) number(from, "beta1");
            s.beta2             = (float) number(from, "beta2");
            s.epsilon           = (float) number(from, "epsilon");
            s.step              = (int) number(from, "step", 1);
            s.gradient_scale    = (float) number(from, "gradientScale", 1);
            s.max_gradient_norm = (float) number(from, "maxGradientNorm");
            return Napi::Number::New(env, trainer(env).update(s));
        });
    }

    Napi::Value gradients(const Napi::CallbackInfo & info) {
        auto env  = info.Env();
        auto made = Napi::Float32Array::New(env, trainer(env).describe().parameters);
        trainer(env).gradients(made.Data());
        return made;
    }

    Napi::Value zero_gradients(const Napi::CallbackInfo & info) {
        trainer(info.Env()).zero_gradients();
        return info.Env().Undefined();
    }

    Napi::Value state(const Napi::CallbackInfo & info) {
        auto         env = info.Env();
        const size_t n   = trainer(env).describe().parameters;
        auto         p   = Napi::Float32Array::New(env, n);
        auto         m   = Napi::Float32Array::New(env, n);
        auto         v   = Napi::Float32Array::New(env, n);
        trainer(env).state(p.Data(), m.Data(), v.Data());
        auto made = Napi::Object::New(env);
        made.Set("parameters", p);
        made.Set("firstMoments", m);
        made.Set("secondMoments", v);
        return made;
    }

    Napi::Value set_state(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        if (info.Length() < 1 || !info[0].IsObject()) coded(env, "TRAIN_SHAPE", "the state is missing");
        auto         from = info[0].As<Napi::Object>();
        const size_t n    = trainer(env).describe().parameters;
        std::vector<float> parts[3];
        const char * const keys[3] = { "parameters", "firstMoments", "secondMoments" };
        for (int i = 0; i < 3; i++) {
            parts[i] = list<float, Napi::Float32Array>(env, from, keys[i], napi_float32_array);
            if (parts[i].size() != n) {
                const std::string what = std::string(keys[i]) + " has " + std::to_string(parts[i].size()) +
                                         " values instead of " + std::to_string(n);
                coded(env, "TRAIN_SHAPE", what.c_str());
            }
        }
        trainer(env).set_state(parts[0].data(), parts[1].data(), parts[2].data());
        return env.Undefined();
    }

    Napi::Value profile(const Napi::CallbackInfo & info) {
        auto env = info.Env();
        return guarded(env, [&]() -> Napi::Value { return numbers(env, trainer(env).profile(batch_of(info))); });
    }

    Napi::Value dispose(const Napi::CallbackInfo & info) {
        trainer_.reset();
        return info.Env().Undefined();
    }
};

}  // namespace

Napi::Function define_trainer(Napi::Env env) { return Trainer::define(env); }
