// What the addon's files share: its classes, JavaScript values as C++ ones, C++ errors as coded JavaScript ones.
#pragma once
#include <napi.h>

#include <algorithm>
#include <string>
#include <vector>

#include "inward/error.h"
#include "inward/vocabulary.h"

Napi::Function define_trainer(Napi::Env env);
Napi::Function define_engine(Napi::Env env);
Napi::Function define_logit_rows(Napi::Env env);
Napi::Function define_vocabulary(Napi::Env env);

// What an engine and a file's vocabulary alone say of their tokens.
Napi::Value vocabulary_facts(Napi::Env env, const inward::vocabulary & words);
Napi::Value token_ids(const Napi::CallbackInfo & info, const inward::vocabulary & words);
Napi::Value token_text(const Napi::CallbackInfo & info, const inward::vocabulary & words);

[[noreturn]] inline void coded(Napi::Env env, const char * code, const char * message) {
    auto made = Napi::Error::New(env, message);
    made.Set("code", Napi::String::New(env, code));
    throw made;
}

// Runs `work`; what it throws becomes a JavaScript error with a code.
template <typename F> auto guarded(Napi::Env env, F && work) -> decltype(work()) {
    try {
        return work();
    } catch (const inward::error & e) {
        coded(env, e.code.c_str(), e.what());
    } catch (const std::bad_alloc &) {
        coded(env, "ENGINE_MEMORY", "this process has no more memory");
    } catch (const Napi::Error &) {
        throw;
    } catch (const std::exception & e) {
        coded(env, "INTERNAL", e.what());
    }
}

inline std::string text(const Napi::Object & from, const char * key) {
    auto value = from.Get(key);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

inline double number(const Napi::Object & from, const char * key, double fallback = 0) {
    auto value = from.Get(key);
    return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : fallback;
}

template <typename Array, typename T> Array typed(Napi::Env env, const std::vector<T> & from) {
    auto made = Array::New(env, from.size());
    std::copy(from.begin(), from.end(), made.Data());
    return made;
}

template <typename T, typename Array>
std::vector<T> list(Napi::Env env, const Napi::Object & from, const char * key, napi_typedarray_type type) {
    auto value = from.Get(key);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
        coded(env, "TRAIN_SHAPE", (std::string(key) + " is not the typed array that it should be").c_str());
    }
    auto array = value.As<Array>();
    return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}
