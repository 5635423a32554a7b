/** Single operations on the device beside the same in double precision, and what the device and its libraries say of themselves. */

import { execFile } from "node:child_process";
import { freemem } from "node:os";
import { promisify } from "node:util";
import type { NativeOperation, NativeOperationResult } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import { arithmeticEnvironment, exactRows } from "../../model/arithmetic.js";
import type { ResolvedDevice } from "../../model/device.js";
import { findBinaries } from "../../model/native/addon.js";
import { builtScript, WorkerProcess } from "../../model/worker-process.js";
import { type DeviceCheck, held, holds, type ArithmeticMode, MODES, noted, tellStage, type Verified } from "./check.js";
import type { OperationsMethods } from "./operations-worker.js";

/** Operations that are one row of the table. */
export interface OperationGroup {
  readonly what: string;
  readonly cases: readonly NativeOperation[];
  /** What tells a case from its neighbours. */
  readonly label: (one: NativeOperation) => string;
  readonly tolerance: (one: NativeOperation) => number;
  /** What is beyond the tolerance is known of such devices, and no mismatch. */
  readonly onlyTold?: boolean;
}

/** One operation, as the JSON has it. */
export interface MeasuredOperation extends NativeOperation, Omit<NativeOperationResult, "distance"> {
  /** Absent where the device lacks the operation or has no room; and where a number is none, which `notANumber` says. */
  readonly distance?: number;
  readonly notANumber?: true;
  readonly mode: ArithmeticMode;
  readonly tolerance: number;
}

/** Weights that training takes. */
const TYPES = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_K", "q5_K", "q6_K"] as const;
/** Kernels change at 1, 3, 8 and 16 columns; odd rows and columns fill no tile. */
const COLUMNS = [1, 3, 4, 16, 17, 64, 512] as const;
const ODD = 577;
const TOLERANCE = {
  copied: 1e-6,
  single: 1e-6,
  rounded: 1e-3,
  pointwise: 1e-5,
  /** Single precision holds an angle of 4000 within 2e-4. */
  farAngle: 1e-3,
  half: 5e-3,
  quantized: 2e-2,
  optimizer: 1e-6,
} as const;

/** @param mode what products a device may round in */
export function operationGroups(device: ResolvedDevice["name"], mode: ArithmeticMode): OperationGroup[] {
  const { least = 1, most = Number.POSITIVE_INFINITY } = exactRows(device);
  const product = (columns: number) => {
    const isSingle = device === "cpu" || (mode === "exact" && columns >= least && columns <= most);
    return isSingle ? TOLERANCE.single : TOLERANCE.rounded;
  };
  const ofType = ({ type = "f32", columns = 1 }: NativeOperation) => {
    if (type === "f32") return product(columns);
    return type === "f16" || type === "bf16" ? TOLERANCE.half : TOLERANCE.quantized;
  };
  const row = (operation: NativeOperation["operation"], inner = ODD, columns = 33): NativeOperation => ({
    operation,
    inner,
    columns,
  });
  const turned = (first: number): NativeOperation[] =>
    (["rope", "rope_back", "rope_halves", "rope_halves_back"] as const).map((operation) => ({
      operation,
      inner: 64,
      outer: 3,
      columns: 33,
      first,
    }));
  const ofColumns = ({ columns = 1 }: NativeOperation) => String(columns);
  return [
    {
      what: "get_rows of every type",
      cases: TYPES.map((type) => ({ operation: "get_rows", type, inner: 512, outer: 300, columns: 33 })),
      label: ({ type = "" }) => type,
      tolerance: () => TOLERANCE.copied,
    },
    {
      what: "norm, SwiGLU, softmax, and their backs",
      cases: [
        row("rms_norm"),
        row("rms_norm_back"),
        row("swiglu"),
        row("silu_back"),
        { operation: "soft_max", inner: 130, outer: 130, columns: 3 },
        row("soft_max_back"),
      ],
      label: ({ operation }) => operation,
      tolerance: () => TOLERANCE.pointwise,
    },
    {
      what: "RoPE and its back, up to token 63",
      cases: turned(31),
      label: named,
      tolerance: () => TOLERANCE.pointwise,
    },
    {
      what: "RoPE and its back, from token 4000 on",
      cases: turned(4000),
      label: named,
      tolerance: () => TOLERANCE.farAngle,
    },
    {
      what: "F32 products, by columns",
      cases: COLUMNS.map((columns) => ({ operation: "mul_mat", inner: ODD, outer: 97, columns })),
      label: ofColumns,
      tolerance: ({ columns = 1 }) => product(columns),
    },
    {
      what: "F32 products with a turned operand, as gradients have them",
      cases: [
        { operation: "out_prod", inner: 64, outer: ODD, columns: 33 },
        { operation: "out_prod_turned", inner: ODD, outer: 97, columns: 64 },
      ],
      label: named,
      tolerance: () => product(64),
    },
    ...[1, 16, 64].map((columns) => ({
      what: `products by type of weights, ${columns} columns`,
      cases: TYPES.map((type): NativeOperation => ({ operation: "mul_mat", type, inner: 512, outer: 96, columns })),
      label: ({ type = "" }: NativeOperation) => type,
      tolerance: ofType,
    })),
    {
      what: "products of F16 weights whose sums are beyond 65,504",
      // Half precision has no such number, and where a device sums in it, this row tells. Elsewhere it proves that sums are floats.
      cases: [{ operation: "mul_mat", type: "f16", inner: 512, outer: 96, columns: 64, scale: 1 << 14 }],
      label: named,
      tolerance: () => TOLERANCE.half,
      // As its arithmetic is described.
      onlyTold: mode === "usual" && device === "vulkan",
    },
  ];
}

function named({ operation }: NativeOperation): string {
  return operation;
}

/** A row of the table from what was measured. */
export function operationRow(
  mode: ArithmeticMode,
  group: OperationGroup,
  results: readonly NativeOperationResult[],
): DeviceCheck {
  const check = `operations, ${mode}: ${group.what}`;
  const measured = group.cases.map((one, at) => ({ one, ...(results[at] as NativeOperationResult) }));
  const done = measured.filter(({ supported, room }) => supported && room);
  const without = measured.flatMap(({ one, supported, room }) =>
    !supported ? [`${group.label(one)} the device lacks`] : room ? [] : [`no room for ${group.label(one)}`],
  );
  if (done.length === 0) return noted(check, without.join("; "));
  const wrong = done.filter(({ one, distance }) => !(distance <= group.tolerance(one)));
  const unsteady = done.filter(({ same }) => !same);
  const each = done.map(({ one, distance }) => `${group.label(one)} ${short(distance)}`);
  const size = ({ distance }: NativeOperationResult) => (Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance);
  const worst = done.reduce((most, one) => (size(one) > size(most) ? one : most));
  const said = [
    ...(wrong.length > 0
      ? [
          `WRONG: ${wrong.map(({ one, distance }) => `${group.label(one)} ${short(distance)}, allowed ${group.tolerance(one)}`).join(", ")}`,
        ]
      : []),
    done.length <= COLUMNS.length ? each.join(", ") : `${short(worst.distance)} at most (${group.label(worst.one)})`,
    ...without,
    ...(unsteady.length > 0 ? [`twice other bits: ${unsteady.map(({ one }) => group.label(one)).join(", ")}`] : []),
  ];
  return {
    check,
    ...(Number.isFinite(worst.distance) ? { value: worst.distance } : {}),
    tolerance: group.tolerance(worst.one),
    found: said.join("; "),
    verdict: wrong.length === 0 && unsteady.length === 0 ? "ok" : group.onlyTold ? "note" : "mismatch",
  };
}

function short(distance: number): string {
  return distance === 0 ? "0" : distance.toPrecision(2);
}

/** A device in a process of its own. */
interface OpenedDevice {
  compute(cases: readonly NativeOperation[]): ReturnType<OperationsMethods["compute"]>;
  libraries(): Promise<string[]>;
  end(): Promise<void>;
}

function openDevice({ device, settings }: Pick<Verified, "device" | "settings">, mode: ArithmeticMode): OpenedDevice {
  const { folder, fallbackFolder } = findBinaries(device.name);
  const worker = new WorkerProcess<OperationsMethods>({
    script: builtScript("./operations-worker.js", import.meta.url),
    owner: "operations",
    crashCode: "TRAIN_CRASHED",
    env: arithmeticEnvironment(mode === "exact"),
  });
  return {
    compute: (cases) =>
      worker.remote.compute({
        binariesFolder: folder,
        ...(fallbackFolder ? { fallbackFolder } : {}),
        device: device.list,
        threads: settings.threads,
        cases,
      }),
    libraries: () => worker.remote.libraries(),
    end: () => worker.end(),
  };
}

/** What is known of a device beside its numbers. */
export interface DeviceFacts {
  /** What its libraries said while they were loaded, line by line. */
  readonly log: readonly string[];
  /** Those of a device that were in the process, by file name; Linux only. */
  readonly libraries: readonly string[];
  /** Of NVIDIA's cards, from nvidia-smi: name, driver, compute capability. */
  readonly nvidia?: string;
  /** In words, by how far F32 products of 64 columns are from double precision. */
  readonly products: Readonly<Record<ArithmeticMode, string>>;
}

export interface OperationsVerified {
  readonly facts: DeviceFacts;
  readonly measured: readonly MeasuredOperation[];
}

/** Its rows are added to what was found. @throws TRAIN_DEVICE, TRAIN_ADDON · INTERRUPTED */
export async function verifyOperations(verified: Verified): Promise<OperationsVerified> {
  const { device, checks } = verified;
  const measured: MeasuredOperation[] = [];
  let [log, libraries]: [string[], string[]] = [[], []];
  const products = { exact: "not measured", usual: "not measured" };
  for (const mode of MODES) {
    if (mode === "exact" && device.name === "cpu") continue;
    let opened = openDevice(verified, mode);
    try {
      for (const group of operationGroups(device.name, mode)) {
        tellStage(verified, `operations, ${mode}: ${group.what}`);
        try {
          const report = await opened.compute(group.cases);
          if (report.log) log = report.log.split("\n").filter((line) => line.trim() !== "");
          checks.push(operationRow(mode, group, report.results));
          group.cases.forEach((one, at) => {
            const { distance, ...result } = report.results[at] as NativeOperationResult;
            const value =
              !result.supported || !result.room
                ? {}
                : Number.isFinite(distance)
                  ? { distance }
                  : { notANumber: true as const };
            measured.push({ ...one, ...result, ...value, mode, tolerance: group.tolerance(one) });
          });
        } catch (error) {
          if (!(error instanceof InwardError) || error.code !== "TRAIN_CRASHED") throw error;
          checks.push(holds(`operations, ${mode}: ${group.what}`, false, error.message));
          await opened.end();
          opened = openDevice(verified, mode);
        }
      }
      if (mode === "usual") {
        checks.push(await optimizerRow(verified, opened));
        libraries = await opened.libraries();
      }
    } finally {
      await opened.end();
    }
    products[mode] = precisionOf(measured, mode);
  }
  if (device.name === "cpu") products.exact = products.usual;
  const nvidia = device.name === "cuda" ? await askNvidia() : undefined;
  return { facts: { log, libraries, ...(nvidia === undefined ? {} : { nvidia }), products }, measured };
}

/** Between single precision's distance and that of TensorFloat-32 or half precision, which both keep ten bits. */
const TEN_BITS = 2e-5;

function precisionOf(measured: readonly MeasuredOperation[], mode: ArithmeticMode): string {
  const apart = COLUMNS.flatMap((wanted) => {
    const is = ({ operation, type, columns, inner, mode: own }: MeasuredOperation) =>
      own === mode && operation === "mul_mat" && type === undefined && inner === ODD && columns === wanted;
    const { distance } = measured.find(is) ?? {};
    return distance === undefined
      ? []
      : [`${wanted}: ${distance < TEN_BITS ? "single" : "rounded"} (${short(distance)})`];
  });
  return apart.length === 0 ? "not measured" : `F32 operands by columns, ${apart.join(", ")}`;
}

/** As many as a large adapter has. */
const MOST_PARAMETERS = 4e8;
const FIRST_PARAMETERS = 1 << 21;
/** Parameters, gradients, two moments and two temporaries, four bytes each. */
const BYTES_EACH = 24;
/** A processor has the same to do, with the same code, whatever the model. */
const OPTIMIZER_SECONDS = { gpu: 20, cpu: 1 } as const;

async function optimizerRow(verified: Verified, opened: OpenedDevice): Promise<DeviceCheck> {
  const { device } = verified;
  const what = "operations, usual: AdamW";
  const take = async (parameters: number) => {
    tellStage(verified, `${what}, ${parameters.toExponential(1)} parameters`);
    const begun = performance.now();
    const { results } = await opened.compute([{ operation: "adamw", inner: parameters }]);
    return { ...(results[0] as NativeOperationResult), took: (performance.now() - begun) / 1000 };
  };
  const small = await take(FIRST_PARAMETERS);
  if (!small.supported) return noted(what, "the device lacks it; the processor does it");
  const free = device.gpus[0]?.freeBytes ?? freemem() / 2;
  const seconds = OPTIMIZER_SECONDS[device.name === "cpu" ? "cpu" : "gpu"];
  const limits = {
    "as many as a large adapter has": MOST_PARAMETERS,
    "more do not fit": free / BYTES_EACH,
    [`more take longer than ${seconds} s`]: (FIRST_PARAMETERS * seconds) / small.took,
  };
  let [why, most] = Object.entries(limits).reduce((least, one) => (one[1] < least[1] ? one : least));
  let tried = small;
  let count = FIRST_PARAMETERS;
  for (; most > FIRST_PARAMETERS; most /= 2, why = "more do not fit") {
    const large = await take(Math.floor(most));
    if (!large.room) continue;
    [tried, count] = [large, Math.floor(most)];
    break;
  }
  const row = held(what, tried.distance, TOLERANCE.optimizer);
  return { ...row, check: `${what} at ${count.toExponential(1)} parameters`, found: `${row.found}; ${why}` };
}

async function askNvidia(): Promise<string> {
  const wanted = "name,driver_version,compute_cap";
  try {
    const { stdout } = await promisify(execFile)("nvidia-smi", [`--query-gpu=${wanted}`, "--format=csv"], {
      timeout: 10_000,
    });
    return stdout.trim();
  } catch (error) {
    return `nvidia-smi does not answer: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`;
  }
}
