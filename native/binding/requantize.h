#pragma once
#include <napi.h>

Napi::Value requantize(const Napi::CallbackInfo & info);
