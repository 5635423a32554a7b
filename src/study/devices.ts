/** How a study names the devices that it runs on. */

import { z } from "zod";

/** Kinds that have devices of their own beside the processor. */
export const GPU_KINDS = ["cuda", "vulkan", "metal"] as const;
export type GpuKind = (typeof GPU_KINDS)[number];
/** The kinds of device that llama.cpp's libraries are built for. */
export type DeviceKind = GpuKind | "cpu";

const NUMBERED = GPU_KINDS.map((kind) => `${kind}|${kind}:\\d{1,2}(?:,${kind}:\\d{1,2})*`).join("|");
const DEVICE = new RegExp(`^(?:auto|cpu|(?:cpu,)?(?:${NUMBERED}))$`);

export const deviceSchema = z
  .string()
  .regex(DEVICE, "must be auto, cpu, or one or several GPUs of one kind: cuda, vulkan:1, cuda:0,cuda:1")
  .refine((text) => new Set(text.split(",")).size === text.split(",").length, "must not name a device twice");

/** A choice that names its devices, taken apart. */
export interface DeviceChoice {
  readonly kind: DeviceKind;
  /** Of the kind's devices, in the order in which layers lie on them; absent: all of them. */
  readonly numbers?: readonly number[];
  /** In training the processor computes the layers that the GPUs have no room for, instead of sending them there. */
  readonly cpuFirst: boolean;
}

/** @param device as deviceSchema takes it, and not `auto` */
export function deviceChoice(device: string): DeviceChoice {
  const names = device.split(",");
  const cpuFirst = names.length > 1 && names[0] === "cpu";
  const own = cpuFirst ? names.slice(1) : names;
  const [kind] = (own[0] as string).split(":") as [DeviceKind];
  const numbers = own.flatMap((name) => (name.includes(":") ? [Number(name.split(":")[1])] : []));
  return { kind, cpuFirst, ...(numbers.length > 0 ? { numbers } : {}) };
}

/** The choice as the native code has it: with `split: none` only the first of its devices. */
export function deviceList({ kind, numbers, cpuFirst }: DeviceChoice, split: "layer" | "none"): string {
  const all = numbers?.map((number) => `${kind}:${number}`) ?? [
    split === "none" && kind !== "cpu" ? `${kind}:0` : kind,
  ];
  const own = split === "none" ? all.slice(0, 1) : all;
  return [...(cpuFirst ? ["cpu"] : []), ...own].join(",");
}
