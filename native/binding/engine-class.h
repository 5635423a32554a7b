#pragma once
#include <napi.h>

Napi::Function define_engine(Napi::Env env);
