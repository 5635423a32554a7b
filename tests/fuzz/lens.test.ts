/** Files of lenses, changed: refused with a code, or what is read is what PyTorch wrote. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { readZipEntries, zipDataOffset } from "../../src/base/zip-archive.js";
import { writeSafetensors } from "../../src/finetune/adapter/safetensors.js";
import { LensFile } from "../../src/probe/lens-file.js";
import { open } from "node:fs/promises";
import { type ZipMember, zip } from "../helpers/made-zip.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

const FIXTURES = fileURLToPath(new URL("../fixtures/lenses", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inward-fuzz-lens-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function read(path: string) {
  const file = await LensFile.open(path);
  try {
    const maps = [];
    for (const layer of file.facts.layers) maps.push(await file.map(layer));
    return { facts: file.facts, maps };
  } finally {
    await file.close();
  }
}

async function membersOf(path: string): Promise<ZipMember[]> {
  const file = await open(path);
  const bytes = readFileSync(path);
  const members: ZipMember[] = [];
  for (const entry of await readZipEntries(path)) {
    const start = await zipDataOffset(file, entry);
    members.push({ name: entry.name, content: bytes.subarray(start, start + entry.bytes), method: 0 });
  }
  await file.close();
  return members;
}

/** Instructions of every kind, names that run code, whole numbers at borders, ids of storages. */
const PIECES = [
  ..."(.012}])ltdaesuNRbQqrhjGJKMXciocSIFPpg\x80\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8f\x90\x91\x93\x94\x95\x81\x82",
  "cposix\nsystem\n",
  "cbuiltins\neval\n",
  "ctorch\nLongStorage\n",
  "ctorch\nHalfStorage\n",
  "ccollections\nOrderedDict\n",
  "ctorch._utils\n_rebuild_tensor_v2\n",
  "X\x04\x00\x00\x00../0",
  "X\xff\xff\xff\x7f",
  "X\x01\x00\x00\x00J",
  "J\xff\xff\xff\xff",
  "J\x00\x00\x00\x80",
  "J\xff\xff\xff\x7f",
  "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
  "h\x00",
  "h\x01",
  "K\x00K\x01\x86",
  "(".repeat(200),
  "}".repeat(2000),
];

function changePickle(pickle: Buffer, dice: Dice): Buffer {
  let result = pickle.toString("latin1");
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const at = dice.below(result.length + 1);
    const end = Math.min(result.length, at + 1 + dice.below(30));
    switch (dice.below(5)) {
      case 0:
        result = result.slice(0, at) + result.slice(end);
        break;
      case 1:
        result = result.slice(0, end) + result.slice(at);
        break;
      case 2: {
        const changed = changeBytes(Buffer.from(result, "latin1"), dice);
        result = changed.toString("latin1");
        break;
      }
      default:
        result = result.slice(0, at) + dice.of(PIECES) + result.slice(dice.once(2) ? at : end);
    }
  }
  return Buffer.from(result, "latin1");
}

test("a lens' file", async () => {
  const sources = ["tuned/params.pt", "tuned/double-protocol-4.pt", "jacobian.pt", "jacobian-views.pt"];
  const whole = new Map(sources.map((name) => [name, readFileSync(join(FIXTURES, name))] as const));
  const right = new Map<string, Awaited<ReturnType<typeof read>>>();
  const members = new Map<string, ZipMember[]>();
  for (const name of sources) {
    right.set(name, await read(join(FIXTURES, name)));
    members.set(name, await membersOf(join(FIXTURES, name)));
  }
  const config = readFileSync(join(FIXTURES, "tuned/config.json"), "utf8");
  const tensors = join(folder, "lens.safetensors");
  const lens = right.get("jacobian.pt") as NonNullable<ReturnType<typeof right.get>>;
  await writeSafetensors(
    tensors,
    new Map(lens.maps.map(({ weights }, layer) => [`J.${layer}`, { shape: [4, 4], values: weights }])),
    { n_prompts: "1000" },
  );
  const saved = readFileSync(tensors);
  const tally = await fuzz(
    "lens",
    (dice, at) => {
      const place = join(folder, `l${at}`);
      const name = dice.of(sources);
      const bytes = whole.get(name) as Buffer;
      const tail = (of: Buffer) => of.length - 900;
      const [isForged, content, about] = ((): readonly [boolean, Buffer, string] => {
        switch (dice.below(7)) {
          case 0:
            return [false, changeBytes(bytes, dice), config];
          case 1:
            return [false, bytes.subarray(0, dice.below(bytes.length)), config];
          case 2:
            // The directory, with its offsets and lengths.
            return [
              false,
              Buffer.concat([bytes.subarray(0, tail(bytes)), changeBytes(bytes.subarray(tail(bytes)), dice)]),
              config,
            ];
          case 3: {
            const said = dice.once(2)
              ? changeText(config, dice)
              : JSON.stringify(changeStructure(JSON.parse(config), dice));
            return [true, bytes, said];
          }
          case 4: {
            const length = Number(saved.readBigUInt64LE());
            const header = JSON.parse(saved.toString("utf8", 8, 8 + length)) as unknown;
            const own = Buffer.from(JSON.stringify(changeStructure(header, dice)));
            const prefix = Buffer.alloc(8);
            prefix.writeBigUInt64LE(BigInt(own.length));
            return [true, Buffer.concat([prefix, own, saved.subarray(8 + length)]), config];
          }
          default: {
            const changed = (members.get(name) as ZipMember[]).map((member) => {
              return member.name.endsWith("data.pkl")
                ? { ...member, content: changePickle(member.content, dice) }
                : member;
            });
            return [true, zip(changed), config];
          }
        }
      })();
      const result = async () => {
        mkdirSync(place);
        writeFileSync(join(place, "config.json"), about);
        writeFileSync(join(place, "lens.pt"), content);
        try {
          return { found: await read(join(place, "lens.pt")), isForged, name };
        } finally {
          rmSync(place, { recursive: true });
        }
      };
      return { input: () => `${name} ${content.toString("latin1")} ${about}`, result: result() };
    },
    ({ found, isForged, name }) => {
      // Checksums of members vouch for what they hold; a pickle that was made anew says what it likes about it.
      if (!isForged) expect(found).toEqual(right.get(name));
      const { width, layers } = found.facts;
      expect(layers.length).toBe(found.maps.length);
      for (const { weights, bias } of found.maps) {
        expect(weights).toHaveLength(width ** 2);
        expect(bias === undefined || bias.length === width).toBe(true);
        expect([...weights, ...(bias ?? [])].every(Number.isFinite)).toBe(true);
      }
    },
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(5);
});
