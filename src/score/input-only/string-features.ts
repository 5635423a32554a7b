/** What can be read off a string without any model: the features of the input-only classifier. */

/** In characters: the n-grams of the first and the last item. */
const LONGEST_GRAM = 3;
/** Items by place, from either end: a rule may look at the second one. */
const PLACES = 4;

/**
 * Items are words; where commas, semicolons or line breaks separate them, what stands between those. Case is kept out,
 * punctuation at an item's edge too.
 * @returns feature name -> its value: 1 for what is there, how often for items, natural logs for lengths
 */
export function stringFeatures(text: string): ReadonlyMap<string, number> {
  const plain = text.normalize("NFC").toLowerCase().trim();
  const items = itemsOf(plain);
  const features = new Map<string, number>();
  features.set("log_characters", Math.log1p([...plain].length));
  features.set("log_items", Math.log1p(items.length));
  features.set(`items=${items.length}`, 1);
  for (const item of items) features.set(`has=${item}`, (features.get(`has=${item}`) ?? 0) + 1);
  for (let place = 0; place < Math.min(PLACES, items.length); place++) {
    features.set(`item_${place}=${items[place]}`, 1);
    features.set(`item_-${place + 1}=${items[items.length - 1 - place]}`, 1);
  }
  const often = mostFrequent(items);
  if (often !== undefined) features.set(`most_frequent=${often}`, 1);
  addGrams(features, "first", items[0]);
  addGrams(features, "last", items.at(-1));
  return features;
}

function itemsOf(plain: string): string[] {
  const pieces = /[,;\n]/.test(plain) ? plain.split(/[,;\n]/) : plain.split(/\s+/);
  return pieces.map((piece) => piece.replace(/^[^\p{L}\p{N}+-]+|[^\p{L}\p{N}]+$/gu, "")).filter((item) => item !== "");
}

/** The last among the most frequent; nothing where all stand once, since then it would be the last item again. */
function mostFrequent(items: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  const most = Math.max(0, ...counts.values());
  return most < 2 ? undefined : items.findLast((item) => counts.get(item) === most);
}

/** Grams at the beginning and at the end of the item are features of their own. */
function addGrams(features: Map<string, number>, which: "first" | "last", item: string | undefined): void {
  if (item === undefined) return;
  const characters = [...item];
  for (let size = 1; size <= Math.min(LONGEST_GRAM, characters.length); size++) {
    features.set(`${which}_begins=${characters.slice(0, size).join("")}`, 1);
    features.set(`${which}_ends=${characters.slice(-size).join("")}`, 1);
    for (let start = 0; start + size <= characters.length; start++) {
      features.set(`${which}_holds=${characters.slice(start, start + size).join("")}`, 1);
    }
    if (size > 1) features.set(`${which}_character_${size}=${characters[size - 1]}`, 1);
  }
}
