/**
 * Many values that share most of what they hold, such as trials of one prompt, as JSON in which each text, list and object of some size
 * stands once; safe between the tags of an HTML file. Pure; packed by the report, unpacked by its page.
 */

/** In the place of what stands in the list: a number its place, a list of numbers a list of such, and an object that has the key itself. */
const MARK = "$";
/** Shorter ones take no more room than a place. */
const LEAST = 14;

export class PackedValues {
  /** JSON of each shared value. */
  readonly #shared: string[] = [];
  readonly #places = new Map<string, number>();
  #bytes = 0;

  /** Of the list, UTF-8. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns JSON that [unpacked] reads beside the list @throws TypeError what JSON has no words for */
  add(value: unknown): string {
    if (value === null || typeof value !== "object") {
      if (value === undefined) throw new TypeError("undefined is no JSON.");
      const said = inHtml(JSON.stringify(value));
      return typeof value === "string" && said.length >= LEAST ? this.#share(said) : said;
    }
    if (Array.isArray(value)) {
      const all = value.map((one) => this.add(one === undefined ? null : one));
      const places = all.map((one) => /^\{"\$":(\d+)\}$/.exec(one)?.[1]);
      const isPlaces = places.length > 1 && places.every((place) => place !== undefined);
      return this.#share(isPlaces ? `{"${MARK}":[${places.join(",")}]}` : `[${all.join(",")}]`);
    }
    const fields = Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([name, one]) => `${inHtml(JSON.stringify(name))}:${this.add(one)}`);
    const own = `{${fields.join(",")}}`;
    return this.#share(Object.hasOwn(value, MARK) ? `{"${MARK}":${own}}` : own);
  }

  /** To go back to: what is added after it may be taken out again. */
  mark(): { readonly places: number; readonly bytes: number } {
    return { places: this.#shared.length, bytes: this.#bytes };
  }

  backTo({ places, bytes }: ReturnType<PackedValues["mark"]>): void {
    for (const said of this.#shared.splice(places)) this.#places.delete(said);
    this.#bytes = bytes;
  }

  /** JSON of the list. */
  list(): string {
    return `[${this.#shared.join(",")}]`;
  }

  #share(said: string): string {
    if (said.length < LEAST) return said;
    let place = this.#places.get(said);
    if (place === undefined) {
      place = this.#shared.length;
      this.#places.set(said, place);
      this.#shared.push(said);
      this.#bytes += Buffer.byteLength(said) + 1;
    }
    return `{"${MARK}":${place}}`;
  }
}

/** @param list as [PackedValues.list], parsed @param value as [PackedValues.add], parsed */
export function unpacked(list: readonly unknown[], value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((one) => unpacked(list, one));
  if (Object.hasOwn(value, MARK)) {
    const found = (value as Readonly<Record<string, unknown>>)[MARK];
    if (typeof found === "number") return unpacked(list, list[found]);
    if (Array.isArray(found)) return found.map((place) => unpacked(list, list[place as number]));
    return plainFields(list, found as object);
  }
  return plainFields(list, value);
}

function plainFields(list: readonly unknown[], value: object): unknown {
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unpacked(list, one)]));
}

/** JSON as it may stand in an HTML file, and be read by people: no mark in it ends an element, turns a line or hides in it. */
function inHtml(json: string): string {
  return json.replace(
    /[<>&\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
