/** A process of its own for native code: what aborts there is a coded error here, with the last lines that it wrote. */

import { type ChildProcess, fork } from "node:child_process";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type ErrorCode, InwardError } from "../errors.js";

const LOG_LINES_KEPT = 20;
const STOP_SECONDS = 10;

interface WorkerProcessOptions {
  /** Path of the compiled script, which calls serveParent. */
  readonly script: string;
  /** Whose process it is, in messages, e.g. `engine`. */
  readonly owner: string;
  /** What its end in the middle of work is called. */
  readonly crashCode: ErrorCode;
  /** A call that was told to stop and says nothing for so long is ended with its process: what it had is lost either way. Default 10. */
  readonly stopSeconds?: number;
  /** Beside the parent's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Hears all that it writes to its streams. */
  readonly onLog?: (text: string) => void;
}

const PARENT = "INWARD_PARENT_PID";

/** Names of variables whose values are nobody else's business. Native code reads files of strangers, and what dies leaves its memory behind. */
const SECRET = /TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|_AUTH|_INDEX_URL/i;

/** Shorter values are words of any text. */
const SHORTEST_SECRET = 8;

/** A text that may be logged, or pasted into a report of a defect: what a server says may hold the token that it was sent. */
export function withoutSecrets(text: string): string {
  const values = Object.entries(process.env).flatMap(([name, value = ""]) =>
    SECRET.test(name) && value.length >= SHORTEST_SECRET ? [[name, value] as const] : [],
  );
  return values.reduce((left, [name, value]) => left.replaceAll(value, `<${name}>`), text);
}

/** Of every process with native code that is started here: nothing is downloaded in there, so that no token is of use. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !SECRET.test(name)));
  // Without the first, an abort in ggml starts a debugger; the second keeps node-llama-cpp from the network.
  const native = { GGML_NO_BACKTRACE: "1", NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true" };
  return { ...own, ...native, [PARENT]: String(process.pid) };
}

/** What a process of its own can be asked for: functions by name, whose arguments and results survive a structured clone. */
type Served = Readonly<Record<string, unknown>>;
type Arguments<One> = One extends (...args: infer Args) => unknown ? Args : never;
type Result<One> = One extends (...args: never) => infer Returned ? Awaited<Returned> : never;

/** The same functions seen from here: each takes its time. */
export type Remote<Methods> = {
  readonly [Name in keyof Methods]: (...args: Arguments<Methods[Name]>) => Promise<Result<Methods[Name]>>;
};

/** What a parent sends. */
type WorkerRequest =
  | { readonly id: number; readonly call: string; readonly args: readonly unknown[] }
  | { readonly abort: number };

/** What a worker sends back; notes come before the result. */
type WorkerResponse<Note> =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly note: Note }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

interface CallOptions<Note> {
  readonly onNote?: (note: Note) => void;
  readonly signal?: AbortSignal;
}

interface Pending<Note> {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  readonly onNote?: (note: Note) => void;
}

/** What a process waits for before it ends, unless told otherwise. */
interface Handle {
  ref(): unknown;
  unref(): unknown;
}

/** @template Methods what the worker serves */
export class WorkerProcess<Methods extends object, Note = never> {
  /** The worker's methods, called as if they were here. @throws as `call` */
  readonly remote: Remote<Methods> = new Proxy({} as Remote<Methods>, {
    get: (_, name) =>
      typeof name === "string"
        ? (...args: unknown[]) => this.call(name as keyof Methods & string, args as never)
        : undefined,
  });
  private readonly child: ChildProcess;
  private readonly pending = new Map<number, Pending<Note>>();
  private readonly log: string[] = [];
  private readonly ended: Promise<void>;
  /** Once it has ended. */
  private how?: string;
  private nextId = 1;

  constructor(private readonly options: WorkerProcessOptions) {
    this.child = fork(options.script, {
      serialization: "advanced",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      execArgv: [],
      env: { ...childEnvironment(), ...options.env },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.keepLog(text));
    }
    this.child.on("message", (response: WorkerResponse<Note>) => this.receive(response));
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => {
        this.failAll(`it could not be started: ${error.message}`);
        resolve();
      });
      // Its last words may still be in the pipes at "exit"; and "close" never comes after a disconnect from this side.
      this.child.on("exit", async (code, signal) => {
        await Promise.allSettled([this.child.stdout, this.child.stderr].map((stream) => stream && finished(stream)));
        this.how = signal ? `it was ended by ${signal}` : `it exited with code ${code}`;
        this.failAll(this.how);
        resolve();
      });
    });
  }

  /** @throws the worker's own coded error, or the crash code when it is gone */
  call<Name extends keyof Methods & string>(
    call: Name,
    args: Arguments<Methods[Name]>,
    options: CallOptions<Note> = {},
  ): Promise<Result<Methods[Name]>> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      if (!this.child.connected) {
        // How it ended may not be known yet, nor its last words be read.
        void this.ended.then(() => reject(this.crashed(this.how ?? "it has ended")));
        return;
      }
      let patience: NodeJS.Timeout | undefined;
      const abort = () => {
        this.send({ abort: id });
        const { owner, stopSeconds = STOP_SECONDS } = this.options;
        patience = setTimeout(() => {
          const what = `Interrupted; the ${owner} did not stop within ${stopSeconds} s and was ended.`;
          this.reject(id, new InwardError("INTERRUPTED", what));
          this.child.kill("SIGKILL");
        }, 1000 * stopSeconds);
      };
      options.signal?.addEventListener("abort", abort, { once: true });
      const settle = () => {
        options.signal?.removeEventListener("abort", abort);
        clearTimeout(patience);
      };
      this.pending.set(id, {
        resolve: (result) => {
          settle();
          resolve(result);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
        onNote: options.onNote,
      });
      this.send({ id, call, args });
      if (options.signal?.aborted) abort();
    });
  }

  /** Whether this process, with nothing else to do, stays for the worker. At first it does. */
  detain(stays: boolean): void {
    const { stdout, stderr, channel } = this.child;
    const handles = [this.child, channel, stdout, stderr] as readonly (Partial<Handle> | null | undefined)[];
    for (const handle of handles) {
      if (stays) handle?.ref?.();
      else handle?.unref?.();
    }
  }

  /** As a system that has no more memory ends it: at once, whatever it does. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async end(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    // The worker leaves when it is disconnected; one that is deep in native code is not waited for.
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 2000);
    await this.ended;
    clearTimeout(timer);
  }

  private send(request: WorkerRequest): void {
    if (this.child.connected) this.child.send(request, () => {});
  }

  private receive(response: WorkerResponse<Note>): void {
    const pending = this.pending.get(response.id);
    if (!pending) return;
    if ("note" in response) {
      try {
        pending.onNote?.(response.note);
      } catch (error) {
        // Of whoever called: thrown here it would end the whole process.
        this.send({ abort: response.id });
        this.reject(response.id, error);
      }
      return;
    }
    if ("error" in response) {
      this.reject(response.id, new InwardError(response.error.code, response.error.message));
      return;
    }
    this.pending.delete(response.id);
    pending.resolve(response.result as never);
  }

  private reject(id: number, error: unknown): void {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    pending?.reject(error);
  }

  private keepLog(text: string): void {
    this.options.onLog?.(text);
    this.log.push(...text.split("\n").filter((line) => line.trim() !== ""));
    this.log.splice(0, Math.max(0, this.log.length - LOG_LINES_KEPT));
  }

  private crashed(how: string): InwardError {
    const last = this.log.length === 0 ? "It left no log." : `Its last words:\n  ${this.log.join("\n  ")}`;
    const { crashCode, owner } = this.options;
    return new InwardError(crashCode, `The ${owner}'s worker process is gone: ${how}. ${last}`);
  }

  private failAll(how: string): void {
    for (const pending of this.pending.values()) pending.reject(this.crashed(how));
    this.pending.clear();
  }
}

// The worker's side of a WorkerProcess: answers its parent's calls, and ends with it.

/** What goes with a call. */
export interface ServedCall<Note> {
  /** Aborted when the parent says so. */
  readonly signal: AbortSignal;
  /** Sends something ahead of the result. */
  readonly note: (note: Note) => void;
}

/**
 * @param methods what is served, for one call: its signal and notes are at hand
 * @param codeOf the code of an error that is no InwardError
 */
export function serveParent<Methods extends object, Note = never>(
  methods: (context: ServedCall<Note>) => Methods,
  codeOf: (error: unknown) => ErrorCode,
): void {
  const running = new Map<number, AbortController>();
  const send = (response: WorkerResponse<Note>) => {
    if (process.connected) process.send?.(response);
  };
  endWithParent();
  // Ctrl-C reaches the whole process group: the parent decides when to stop.
  process.on("SIGINT", () => {});
  process.on("disconnect", () => process.exit(0));
  process.on("message", async (message: WorkerRequest) => {
    if ("abort" in message) {
      running.get(message.abort)?.abort();
      return;
    }
    const { id, call, args } = message;
    const controller = new AbortController();
    running.set(id, controller);
    try {
      const served = methods({ signal: controller.signal, note: (note) => send({ id, note }) }) as Served;
      const method = Object.hasOwn(served, call) ? served[call] : undefined;
      if (typeof method !== "function") throw new InwardError("INTERNAL", `The worker does not serve ${call}.`);
      send({ id, result: await method(...args) });
    } catch (error) {
      const code = error instanceof InwardError ? error.code : codeOf(error);
      send({ id, error: { code, message: error instanceof Error ? error.message : String(error) } });
    } finally {
      running.delete(id);
    }
  });
}

/** Where a parent that is gone leaves its child's id of it unchanged (Windows), asking for that process tells. */
const WATCH = `
  const { parentPid } = require("node:worker_threads").workerData;
  const isGone = () => {
    if (process.ppid !== parentPid) return true;
    try {
      process.kill(parentPid, 0);
      return false;
    } catch (error) {
      return error.code === "ESRCH";
    }
  };
  setInterval(() => {
    if (isGone()) process.kill(process.pid, "SIGKILL");
  }, 1000);
`;

/**
 * Ends this process within seconds of its parent, whatever it is doing. A thread of its own looks: deep in native code, or in a
 * template without end, the main thread hears of nothing. For processes that a parent of ours started.
 */
export function endWithParent(): void {
  const parentPid = Number(process.env[PARENT] ?? process.ppid);
  new Worker(WATCH, { eval: true, workerData: { parentPid } }).unref();
}

// Finds the compiled script of a process of its own: beside its caller in dist, or in dist when the sources run (tests do so).

/**
 * @param name relative to the caller, e.g. `./worker-main.js`
 * @param caller the caller's import.meta.url
 */
export function builtScript(name: string, caller: string): string {
  const path = fileURLToPath(new URL(name, caller));
  if (!caller.endsWith(".ts")) return path;
  // The last one: the checkout itself may lie under a folder named src.
  const at = path.lastIndexOf("/src/");
  return `${path.slice(0, at)}/dist/${path.slice(at + "/src/".length)}`;
}
