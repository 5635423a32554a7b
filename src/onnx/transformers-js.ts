/** A folder in transformers.js: its own tokenizer, template and generation. Runs in the worker process, and reaches for no network. */

import { basename, dirname } from "node:path";
import { InwardError } from "../errors.js";
import type { ChatVariables } from "../model/chat/format.js";
import type { ChatMessage } from "../tasks/answer.js";
import { findOnnxPackage } from "./onnx-packages.js";
import { type OnnxSettings, sessionOptions, saidBy } from "./onnx-session.js";

/** A conversation as their template has it, and as their tokenizer reads that. */
export interface RenderedThere {
  readonly text: string;
  readonly tokenIds: readonly number[];
}

interface Tensor {
  readonly dims: readonly number[];
  tolist(): bigint[][];
}
type TheirTokenizer = ((text: string, options: object) => { readonly input_ids: readonly number[] }) & {
  apply_chat_template(messages: readonly object[], options: object): string | readonly number[];
};
interface Model {
  generate(options: object): Promise<Tensor>;
  dispose(): Promise<unknown>;
}
interface Library {
  readonly env: Record<string, unknown>;
  readonly Tensor: new (type: string, data: BigInt64Array, dims: readonly number[]) => Tensor;
  readonly AutoTokenizer: { from_pretrained(name: string, options: object): Promise<TheirTokenizer> };
  readonly AutoModelForCausalLM: { from_pretrained(name: string, options: object): Promise<Model> };
}

export class TransformersJs {
  private constructor(
    private readonly library: Library,
    private readonly tokenizer: TheirTokenizer,
    private readonly model: Model,
    private readonly padId: number,
  ) {}

  /** @throws ONNX_PACKAGES · ONNX_RUN */
  static async open(folder: string, settings: OnnxSettings, padId: number): Promise<TransformersJs> {
    const refuse = () => {
      throw new Error("transformers.js reached for the network");
    };
    globalThis.fetch = refuse;
    const library = (await import(findOnnxPackage("@huggingface/transformers"))) as unknown as Library;
    Object.assign(library.env, {
      allowRemoteModels: false,
      allowLocalModels: true,
      localModelPath: `${dirname(folder)}/`,
      useFSCache: false,
      useBrowserCache: false,
      fetch: refuse,
    });
    const options = { local_files_only: true, dtype: "fp32", device: "cpu", session_options: sessionOptions(settings) };
    try {
      const tokenizer = await library.AutoTokenizer.from_pretrained(basename(folder), options);
      const model = await library.AutoModelForCausalLM.from_pretrained(basename(folder), options);
      return new TransformersJs(library, tokenizer, model, padId);
    } catch (error) {
      throw new InwardError("ONNX_RUN", `transformers.js does not open ${folder}: ${saidBy(error)}`, { cause: error });
    }
  }

  tokenize(texts: readonly string[]): number[][] {
    return texts.map((text) =>
      Array.from(this.tokenizer(text, { add_special_tokens: false, return_tensor: false }).input_ids, Number),
    );
  }

  template(conversations: readonly (readonly ChatMessage[])[], variables: ChatVariables): RenderedThere[] {
    return conversations.map((messages) => {
      const options = { add_generation_prompt: true, return_tensor: false, return_dict: false, ...variables };
      const turns = messages.map(({ role, content }) => ({ role, content }));
      const text = this.tokenizer.apply_chat_template(turns, { ...options, tokenize: false }) as string;
      const ids = this.tokenizer.apply_chat_template(turns, { ...options, tokenize: true }) as readonly number[];
      return { text, tokenIds: Array.from(ids, Number) };
    });
  }

  /** Greedy, all prompts in one batch, the shorter ones padded on the left. @returns [prompts] what was said, with the token that ended it */
  async generate(
    prompts: readonly (readonly number[])[],
    maxTokens: number,
    endIds: readonly number[],
  ): Promise<number[][]> {
    const longest = Math.max(...prompts.map(({ length }) => length));
    const whole = (rows: readonly (readonly number[])[]) =>
      new this.library.Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [rows.length, longest]);
    const padded = (value: number, ids: readonly number[]) => [...new Array(longest - ids.length).fill(value), ...ids];
    const said = await this.model.generate({
      inputs: whole(prompts.map((ids) => padded(this.padId, ids))),
      attention_mask: whole(prompts.map((ids) => padded(0, new Array(ids.length).fill(1)))),
      max_new_tokens: maxTokens,
      do_sample: false,
      eos_token_id: [...endIds],
    });
    return said.tolist().map((row) => {
      const ids = row.slice(longest).map(Number);
      const end = ids.findIndex((id) => endIds.includes(id));
      return end < 0 ? ids : ids.slice(0, end + 1);
    });
  }

  async dispose(): Promise<void> {
    await this.model.dispose();
  }
}
