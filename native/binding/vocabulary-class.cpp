// A file's vocabulary as a JavaScript class, and what it shares with the engine's.
#include <memory>

#include "addon.h"

Napi::Value vocabulary_facts(Napi::Env env, const inward::vocabulary & words) {
    const auto facts = words.describe();
    auto       made  = Napi::Object::New(env);
    made.Set("attributes", typed<Napi::Int32Array>(env, facts.attributes));
    made.Set("ends", typed<Napi::Uint8Array>(env, facts.ends));
    made.Set("bos", facts.bos);
    made.Set("eos", facts.eos);
    made.Set("eot", facts.eot);
    made.Set("addsBos", facts.adds_bos);
    made.Set("addsEos", facts.adds_eos);
    return made;
}

Napi::Value token_ids(const Napi::CallbackInfo & info, const inward::vocabulary & words) {
    auto env = info.Env();
    if (info.Length() < 1 || !info[0].IsString()) coded(env, "TRAIN_SHAPE", "tokenize takes a text");
    const std::string said = info[0].As<Napi::String>();
    return guarded(env, [&]() -> Napi::Value { return typed<Napi::Int32Array>(env, words.tokenize(said)); });
}

Napi::Value token_text(const Napi::CallbackInfo & info, const inward::vocabulary & words) {
    auto env  = info.Env();
    auto from = Napi::Object::New(env);
    if (info.Length() > 0) from.Set("tokenIds", info[0]);
    const auto ids = list<int32_t, Napi::Int32Array>(env, from, "tokenIds", napi_int32_array);
    return guarded(env, [&]() -> Napi::Value { return Napi::String::New(env, words.detokenize(ids)); });
}

namespace {

class Vocabulary : public Napi::ObjectWrap<Vocabulary> {
public:
    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "Vocabulary",
                           { InstanceMethod<&Vocabulary::vocabulary>("vocabulary"),
                             InstanceMethod<&Vocabulary::tokenize>("tokenize"),
                             InstanceMethod<&Vocabulary::detokenize>("detokenize"),
                             InstanceMethod<&Vocabulary::load_log>("loadLog"),
                             InstanceMethod<&Vocabulary::dispose>("dispose") });
    }

    explicit Vocabulary(const Napi::CallbackInfo & info) : Napi::ObjectWrap<Vocabulary>(info) {
        auto env = info.Env();
        if (info.Length() < 1 || !info[0].IsObject()) {
            coded(env, "ENGINE_UNAVAILABLE", "the vocabulary's options are missing");
        }
        auto from = info[0].As<Napi::Object>();
        guarded(env, [&] {
            file_ = std::make_unique<inward::vocabulary_file>(text(from, "binariesFolder"), text(from, "modelPath"));
        });
    }

private:
    std::unique_ptr<inward::vocabulary_file> file_;

    inward::vocabulary_file & file(Napi::Env env) {
        if (!file_) coded(env, "ENGINE_UNAVAILABLE", "this vocabulary was disposed of");
        return *file_;
    }

    Napi::Value vocabulary(const Napi::CallbackInfo & info) {
        return vocabulary_facts(info.Env(), file(info.Env()).words());
    }
    Napi::Value tokenize(const Napi::CallbackInfo & info) { return token_ids(info, file(info.Env()).words()); }
    Napi::Value detokenize(const Napi::CallbackInfo & info) { return token_text(info, file(info.Env()).words()); }
    Napi::Value load_log(const Napi::CallbackInfo & info) {
        return Napi::String::New(info.Env(), file(info.Env()).load_log());
    }

    Napi::Value dispose(const Napi::CallbackInfo & info) {
        file_.reset();
        return info.Env().Undefined();
    }
};

}  // namespace

Napi::Function define_vocabulary(Napi::Env env) { return Vocabulary::define(env); }
