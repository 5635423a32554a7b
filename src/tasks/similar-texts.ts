/** Which of many texts share half or more of their neighbouring word pairs with one: found exactly, without looking at all of them. */

/** Pairs in both ÷ pairs in either (Jaccard): from here on two texts are similar. */
const SIMILAR = 0.5;

/** Scripts that put no spaces between words: every character counts as one. */
const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]|[\p{L}\p{M}\p{N}]+/gu;

/** In small letters, without punctuation. */
export function wordsOf(text: string): string[] {
  return text.normalize("NFC").toLowerCase().match(WORD) ?? [];
}

export function wordPairs(text: string): ReadonlySet<string> {
  const words = wordsOf(text);
  return new Set(words.slice(1).map((word, at) => `${words[at]} ${word}`));
}

/**
 * Of two similar texts the rarest pairs already have one in common: with n pairs the n − ⌈n/2⌉ + 1 rarest (prefix filtering:
 * Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007). So only texts that share such a pair are compared.
 * @returns a function that lists the places of similar texts; those that `skip` names are not compared
 */
export function similarTexts(
  texts: readonly ReadonlySet<string>[],
): (pairs: ReadonlySet<string>, skip?: (place: number) => boolean) => Generator<number> {
  const frequency = new Map<string, number>();
  for (const pairs of texts) for (const pair of pairs) frequency.set(pair, (frequency.get(pair) ?? 0) + 1);
  const ranks = new Map(
    [...frequency].sort(([a, m], [b, n]) => m - n || (a < b ? -1 : 1)).map(([pair], at) => [pair, at]),
  );
  /** A pair that no text has is rarer than all others, and found nowhere. */
  const ranked = (pairs: ReadonlySet<string>) => Int32Array.from(pairs, (pair) => ranks.get(pair) ?? -1).sort();
  const sorted = texts.map(ranked);
  const holders = new Map<number, number[]>();
  sorted.forEach((pairs, place) => {
    for (const pair of rarest(pairs)) {
      const known = holders.get(pair);
      if (known) known.push(place);
      else holders.set(pair, [place]);
    }
  });
  return function* (pairs, skip = () => false) {
    const own = ranked(pairs);
    const seen = new Set<number>();
    for (const pair of rarest(own)) {
      for (const place of holders.get(pair) ?? []) {
        if (seen.has(place)) continue;
        seen.add(place);
        if (!skip(place) && areSimilar(own, sorted[place] as Int32Array)) yield place;
      }
    }
  };
}

function rarest(pairs: Int32Array): Int32Array {
  return pairs.subarray(0, pairs.length - Math.ceil(SIMILAR * pairs.length) + 1);
}

function areSimilar(a: Int32Array, b: Int32Array): boolean {
  if (Math.min(a.length, b.length) < SIMILAR * Math.max(a.length, b.length)) return false;
  let shared = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const difference = (a[i] as number) - (b[j] as number);
    if (difference === 0 && a[i] !== -1) shared++;
    if (difference <= 0) i++;
    if (difference >= 0) j++;
  }
  return shared >= SIMILAR * (a.length + b.length - shared);
}
