/** What is made of llama.cpp's log: its words as they stand in its source (llama-vocab.cpp, llama-model-loader.cpp, gguf.cpp). */

import { describe, expect, test } from "vitest";
import { loadFailure, loadWarnings } from "../../src/model/engines/load-log.js";

describe("warnings of a load", () => {
  test("a warning in a frame is one sentence, without the function's name", () => {
    const log = [
      "load: missing pre-tokenizer type, using: 'default'\n",
      "load:                                             \n",
      "load: ************************************        \n",
      "load: GENERATION QUALITY WILL BE DEGRADED!        \n",
      "load: CONSIDER REGENERATING THE MODEL             \n",
      "load: ************************************        \n",
    ].join("");
    expect(loadWarnings(log)).toEqual([
      "missing pre-tokenizer type, using: 'default' GENERATION QUALITY WILL BE DEGRADED! CONSIDER REGENERATING THE MODEL",
    ]);
  });

  test("a hundred thousand alike are three, and a count", () => {
    const log = Array.from({ length: 100_000 }, (_, at) => `load: empty token at index ${at}`);
    expect(loadWarnings(log)).toEqual([
      "empty token at index 0",
      "empty token at index 1",
      "empty token at index 2",
      "99997 more: empty token at index …",
    ]);
  });

  test("a token's bytes cannot steer a terminal", () => {
    expect(loadWarnings("load: control-looking token: 7 '\u001b[2J\u202e' was not control-type")).toEqual([
      "control-looking token: 7 '\\u{1b}[2J\\u{202e}' was not control-type",
    ]);
  });

  test("nothing said is no warning", () => {
    expect(loadWarnings("")).toEqual([]);
  });
});

describe("a load that failed", () => {
  const end = "llama_model_load_from_file_impl: failed to load model";
  test.each([
    [
      "MODEL_TOKENIZER",
      "llama_model_load: error loading model: error loading model vocabulary: unknown pre-tokenizer type: 'x'",
    ],
    [
      "MODEL_TOKENIZER",
      "llama_model_load: error loading model: error loading model vocabulary: cannot find tokenizer merges in model file\n",
    ],
    ["MODEL_LOAD", "llama_model_load: error loading model: missing tensor 'blk.1.attn_q.weight'"],
    [
      "MODEL_LOAD",
      "llama_model_load: error loading model: key llama.rope.freq_base has wrong type f64 but expected type f32",
    ],
    ["MODEL_LOAD", "gguf_init_from_file_impl: tensor name 3 is too long: 80 >= 64"],
    ["MODEL_ARCHITECTURE", "llama_model_load: error loading model: unknown model architecture: 'x'"],
    ["MODEL_PARTS", "llama_model_load: error loading model: invalid split file name: /tmp/x.gguf"],
    ["ENGINE_MEMORY", "llama_model_load: error loading model: unable to allocate CUDA0 buffer"],
    ["ENGINE_MEMORY", "llama_model_load: error loading model: std::bad_alloc"],
  ])("is %s for: %s", (code, line) => {
    const error = loadFailure("/a/model.gguf", [line, end]);
    expect(error.code).toBe(code);
    expect(error.message).toContain(line.slice(line.indexOf(": ") + 2).trim());
    expect(error.message).toContain("/a/model.gguf");
  });

  test("the innermost call's reason is told, not that the file of this name failed", () => {
    const outer = "llama_model_load: error loading model: llama_model_loader: failed to load model from /a/model.gguf";
    const inner = "gguf_init_from_reader: tensor name 3 is too long: 80 >= 64, which is invalid";
    expect(loadFailure("/a/model.gguf", [inner, outer, end]).message).toContain("too long: 80 >= 64");
  });

  test("without a word it is no matter of memory", () => {
    expect(loadFailure("/a/model.gguf", end)).toMatchObject({
      code: "MODEL_LOAD",
      message: "/a/model.gguf cannot be loaded; llama.cpp gave no reason",
    });
  });
});
