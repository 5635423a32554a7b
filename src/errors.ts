/**
 * The one error class and the one table of codes. A code is an API: never renamed, documented in README, thrown somewhere.
 * Text carries the real value; the hint is the next thing to do.
 */

interface ErrorEntry {
  readonly exit: ExitCode;
  readonly hint: string;
}

/** 1 failed · 2 usage or configuration · 3 model or device unavailable · 4 verification mismatch · 130 interrupted. */
export type ExitCode = 1 | 2 | 3 | 4 | 130;

export const ERRORS = {
  USAGE: { exit: 2, hint: "What a command takes: npx inward <command> --help" },
  INTERRUPTED: {
    exit: 130,
    hint: "Run the same command again: it goes on from what was finished, and begins anew what was under way.",
  },
  INTERNAL: { exit: 1, hint: "This is a defect of inward. Please report it with the command and the message." },

  MACHINE_LIMIT: {
    exit: 1,
    hint: "Raise the limit (ulimit -a shows them), or end what else runs; the same command goes on from what was finished.",
  },

  STUDY_NOT_FOUND: { exit: 2, hint: "Give the path of a study file; studies has examples." },
  STUDY_NOT_YAML: { exit: 2, hint: "Mend the line named above; YAML wants spaces, not tabs." },
  STUDY_UNKNOWN_KEY: { exit: 2, hint: "Keys are strict so that a typing slip cannot change a result." },
  STUDY_INVALID: {
    exit: 2,
    hint: "Every key is described in docs/studies.md, those of a benchmark in docs/quantize.md.",
  },
  STUDY_UNKNOWN_MODEL: { exit: 2, hint: "Name it under models: in the study." },
  STUDY_NOT_ENOUGH_STRINGS: { exit: 2, hint: "Ask for fewer strings; npx inward tasks list shows how many there are." },

  TASK_NOT_FOUND: {
    exit: 2,
    hint: "A path of a task starts at the study's folder; npx inward tasks list shows the built-in ones.",
  },
  TASK_INVALID: { exit: 2, hint: "A task is a YAML file beside its JSONL of strings; README shows one." },
  TASK_CORRUPT: { exit: 1, hint: "Restore it: git checkout -- datasets, or npm run datasets" },
  TASK_OVERLAP: {
    exit: 2,
    hint: "Train and held-out strings must be disjoint; remove the string from one of the two.",
  },

  IMPORT_SOURCE: {
    exit: 2,
    hint: "See what is read, and from where: npx inward tasks import --help, npx inward answers --help",
  },
  IMPORT_COLUMNS: {
    exit: 2,
    hint: "Name the columns (--question, --options, --answer, or --text) or a --preset: npx inward tasks import --help",
  },
  IMPORT_INVALID: { exit: 2, hint: "Mend the line named above; nothing was imported." },
  IMPORT_EMPTY: { exit: 2, hint: "See why rows were left out; --preview shows it without writing anything." },
  IMPORT_EXISTS: { exit: 2, hint: "Give another folder with --out, or --replace." },
  WORDING_INVALID: {
    exit: 2,
    hint: "A wording has {prompt} or {question} and {property}; npx inward wordings list shows the built-in ones.",
  },

  PROPERTY_NOT_FOUND: { exit: 2, hint: "Run: npx inward properties list" },
  PROPERTY_INVALID: { exit: 2, hint: "Try it on answers: npx inward properties check <file>" },
  JUDGE_LABELS: {
    exit: 2,
    hint: "Give the judged property more labelled examples, or mend those that it has; docs/properties.md says how.",
  },
  PROPERTY_NOT_APPLICABLE: {
    exit: 2,
    hint: "Run: npx inward properties list; it shows which kinds of task each property is for.",
  },

  PROMPTS_INVALID: { exit: 2, hint: "A line is a JSON object with prompt, or with messages; docs/cli.md shows both." },
  ANSWERS_OTHER: { exit: 2, hint: "Give another file with --out, or move the old one and its manifest away." },

  MODEL_NOT_FOUND: {
    exit: 3,
    hint: "Run: npx inward models list, or give the path of a GGUF file; in a study it starts at the current folder, in a benchmark at the benchmark's.",
  },
  MODEL_UNREACHABLE: { exit: 3, hint: "Download the file elsewhere and give its path instead." },
  MODEL_CHECKSUM: {
    exit: 3,
    hint: "Bring back the file that was meant, or pull it again: npx inward models pull <name>. A run takes no other file than its plan's.",
  },
  MODEL_TRUNCATED: {
    exit: 3,
    hint: "The file is shorter than its own header says. Pull it again: npx inward models pull <name>",
  },
  MODEL_PARTS: {
    exit: 3,
    hint: "A split model needs all its parts, unchanged, beside each other under the names they came with; pull it again.",
  },
  MODEL_NOT_GGUF: { exit: 3, hint: "inward reads GGUF files; convert the model with llama.cpp's converter first." },
  MODEL_HEADER: {
    exit: 3,
    hint: "No model can have what the header says; use another conversion of the model.",
  },
  MODEL_LOAD: {
    exit: 3,
    hint: "Use another conversion of the model: llama.cpp refuses this file for the reason above.",
  },
  MODEL_ARCHITECTURE: {
    exit: 3,
    hint: "inward asks text models that write one token after another, of the architectures of its llama.cpp: docs/models.md lists them.",
  },
  MODEL_TENSOR_TYPE: {
    exit: 3,
    hint: "Use the file as shipped (encoding: as_shipped), or another quantization of the model.",
  },
  MODEL_NO_VOCABULARY: { exit: 3, hint: "The file carries no tokenizer; use a complete model file." },
  MODEL_TOKENIZER: {
    exit: 3,
    hint: "Use another conversion of the model, or one with a SentencePiece or byte-level BPE vocabulary.",
  },
  MODEL_NO_CHAT_TEMPLATE: {
    exit: 3,
    hint: "A base model is asked in plain text (chat: plain, --chat plain); an instruct model wants its template as a file (chat: <path>).",
  },
  MODEL_TEMPLATE: {
    exit: 3,
    hint: "Give the model another chat template (--chat <path of a Jinja file>, or chat: in the study), or use another conversion of it.",
  },
  IMATRIX_INVALID: {
    exit: 2,
    hint: "Give an importance matrix that llama-imatrix made of this very model, or leave out the types that need one.",
  },
  MODEL_FOLDER: { exit: 3, hint: "Set INWARD_MODELS to a folder you may write to, with enough free space." },
  MODEL_REGISTRY: { exit: 2, hint: "Mend models/registry.json; models/README.md describes its fields." },

  CHAT_BOS: {
    exit: 3,
    hint: "Use a conversion of the model whose header has tokenizer.ggml.bos_token_id.",
  },
  CHAT_SYSTEM: {
    exit: 2,
    hint: "Say which system message is to stand, or omit (--system, or system: in the study); or give the model another chat template.",
  },
  CHAT_PLAIN: {
    exit: 2,
    hint: "See base models in docs/studies.md; or give the model a chat template (chat: <path of a Jinja file>).",
  },
  CHAT_CONTROL_TOKEN: {
    exit: 1,
    hint: "The vocabulary has no other way to write this; remove it from the string.",
  },
  CHAT_UNWRITABLE: {
    exit: 2,
    hint: "The model's vocabulary cannot write this text; remove what is named from it.",
  },

  ENGINE_UNAVAILABLE: { exit: 3, hint: "Run: npx inward doctor" },
  ENGINE_CRASHED: {
    exit: 1,
    hint: "Run the same command again: finished groups are kept. npx inward doctor checks the set-up.",
  },
  ENGINE_MEMORY: {
    exit: 3,
    hint: "Lower engine.sequences, take a smaller or more quantized model, or another engine.device; npx inward doctor shows free memory.",
  },
  ENGINE_CONTEXT: { exit: 2, hint: "Shorten the string or lower maxTokens; nothing is ever cut or shifted silently." },
  ENGINE_EMPTY_PROMPT: { exit: 2, hint: "A question needs at least one token." },
  ENGINE_TOKEN: { exit: 1, hint: "This is a defect of inward. Please report it with the command and the message." },
  ENGINE_NOT_FINITE: {
    exit: 1,
    hint: "The model produced NaN or infinite logits: check the file with npx inward verify model.",
  },

  ONNX_PACKAGES: {
    exit: 3,
    hint: "Run the npm command above; both packages are for this check and for benchmarks alone, and no study needs them.",
  },
  ONNX_MODEL: {
    exit: 3,
    hint: "See in docs/onnx.md of which models a graph is written; npx inward verify engine compares others with node-llama-cpp.",
  },
  ONNX_RUN: {
    exit: 1,
    hint: "What onnxruntime or transformers.js said stands above; check the releases that are installed against docs/onnx.md.",
  },

  TRAIN_EMPTY_SET: {
    exit: 2,
    hint: "Give at least one example; where a study builds the set, see why answers were left out.",
  },
  TRAIN_EXAMPLE: {
    exit: 2,
    hint: "Mend the line named above: OpenAI chat JSONL whose last message is the assistant's.",
  },
  TRAIN_CONTEXT: { exit: 2, hint: "Shorten the example; nothing is cut off silently." },
  TRAIN_SETTINGS: { exit: 2, hint: "Mend the setting named above; npx inward train --help lists them." },
  TRAIN_MODEL: {
    exit: 3,
    hint: "The trainer does not know something that this model has; ask it without training, or train another base.",
  },
  TRAIN_DEVICE: { exit: 3, hint: "Choose another device, or train on the CPU: --device cpu" },
  TRAIN_MEMORY: {
    exit: 3,
    hint: "Take what would help of what is named above: activationCheckpointing, a smaller microbatchTokens, engine.gpuLayers auto, more devices in engine.device, or a smaller base.",
  },
  TRAIN_ADDON: { exit: 3, hint: "Build it: node scripts/build-native.mjs. Asking and scoring work without it." },
  TRAIN_SHAPE: { exit: 1, hint: "This is a defect of inward. Please report it with the command and the message." },
  TRAIN_NOT_FINITE: {
    exit: 1,
    hint: "Lower the learning rate or clip gradients (maxGradientNorm); the last checkpoint is kept.",
  },
  TRAIN_CRASHED: { exit: 1, hint: "Run the same command again: it goes on from the last checkpoint." },
  TRAIN_CHECKPOINT: { exit: 2, hint: "Give another --out, or remove the checkpoint folder to begin again." },

  ADAPTER_NOT_FOUND: { exit: 2, hint: "Give the path of an adapter's .gguf, or of a PEFT folder." },
  ADAPTER_INVALID: { exit: 2, hint: "The file is no LoRA adapter that inward or PEFT wrote, or it is damaged." },
  ADAPTER_SHAPE: { exit: 2, hint: "The adapter belongs to a model of another shape." },
  ADAPTER_BASE: { exit: 2, hint: "Use the base that the adapter's card names, or force it; the card will say so." },

  STORE_LOCKED: {
    exit: 1,
    hint: "Wait for that process, or end it (kill <its number>, on its machine); or give this run another folder with --out.",
  },
  STORE_UNWRITABLE: {
    exit: 1,
    hint: "Give a folder you may write to with --out. Where one was moved or removed meanwhile: the same command again.",
  },
  STORE_UNREADABLE: {
    exit: 1,
    hint: "Whoever owns it gives you the right to read it (chmod a+r), or the disk is to be looked at; nothing was changed. Then the same command again.",
  },
  STORE_DISK_FULL: { exit: 1, hint: "Free some space and run the same command again: finished groups are kept." },
  STORE_CORRUPT: {
    exit: 1,
    hint: "Restore the named file, or move it away and give the same command again; of a run: npx inward run <study.yaml>",
  },
  STORE_OTHER_PLAN: { exit: 2, hint: "This folder holds another study's run. Give another folder with --out." },
  STORE_NOT_A_RUN: { exit: 2, hint: "Give a run folder: one that holds 01-plan.json." },
  STORE_INCOMPLETE: { exit: 1, hint: "Finish it first: npx inward run <study.yaml>" },

  UNITS_NONE: {
    exit: 2,
    hint: "Units are made by npx inward run --workers and by npx inward slurm. How far a run of one process is: npx inward view <run>",
  },
  UNIT_FAILED: {
    exit: 1,
    hint: "Read the log that is named above; the same command goes on with what is not done.",
  },
  UNIT_TOO_EARLY: {
    exit: 1,
    hint: "Do the units of earlier waves first, then put them together: npx inward merge <run>",
  },
  SLURM_UNAVAILABLE: {
    exit: 3,
    hint: "Give the command on a machine of the cluster; the scripts that were written can be submitted there. Without Slurm: npx inward run <study.yaml> --workers 2",
  },
  SLURM_REFUSED: { exit: 1, hint: "Mend what Slurm says, then: npx inward slurm resume <run folder>" },
  SLURM_ACTIVE: {
    exit: 1,
    hint: "Wait for them, or take them out of the queue first: npx inward slurm cancel <run folder>",
  },
  SLURM_NOT_PREPARED: { exit: 2, hint: "Write them first: npx inward slurm <study.yaml>" },
  UNITS_MISSING: {
    exit: 1,
    hint: "See which failed and why: npx inward slurm status <run folder>. Then: npx inward slurm resume <run folder>",
  },

  VIEW_PAGE: { exit: 1, hint: "Build it: npm run build" },
  VIEW_PORT: { exit: 2, hint: "Give another --port, or none: any that is free is taken then." },
  VIEW_BUNDLE: { exit: 2, hint: "Give another folder with --bundle, or move the old one away." },

  PROBE_SITE: { exit: 2, hint: "See which sites there are: npx inward states --help, docs/probes.md" },
  PROBE_RANGE: { exit: 1, hint: "Keep the states in single precision: --dtype f32" },
  PROBE_PARTS: {
    exit: 4,
    hint: "Ask our own forward pass on the CPU, in single precision: --device cpu --encoding f32. Where it is so there too, please report it.",
  },

  EXPORT_FOLDER: { exit: 2, hint: "Give an empty folder, or one of an earlier export of this run, with --out." },
  EXPORT_NOTHING: { exit: 2, hint: "Export another format of this run: npx inward export --help lists them." },

  PROBE_INVALID: { exit: 2, hint: "See what is possible: npx inward probe --help, docs/probes.md" },

  LENS_FILE: {
    exit: 2,
    hint: "See in docs/probes.md which files of lenses are read: those that tuned-lens and the Jacobian lens save, and safetensors of the same.",
  },

  REPORT_FAILED: {
    exit: 1,
    hint: "The scores are safe in 08-scores.json; npx inward report <run> makes the report again.",
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * Every failure that a user can cause or meet.
 * @param code stable identifier from the table
 * @param what what happened, with the real value
 */
export class InwardError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, what: string, options?: { cause?: unknown }) {
    super(what, options);
    this.name = "InwardError";
    this.code = code;
  }

  get hint(): string {
    return ERRORS[this.code].hint;
  }

  get exitCode(): ExitCode {
    return ERRORS[this.code].exit;
  }
}
