/** Whose states are written where: donors, groups of train strings for steering vectors, tokens that lead elsewhere. */

import { inSeededOrder, seededRandom, shuffled } from "../base/random.js";

/** One string with what the model does there by itself. */
export interface DonorString {
  readonly item: string;
  /** Strings of one cluster are never each other's donors. */
  readonly cluster: string;
  readonly split: "train" | "held_out";
  /** The first word of its answer. */
  readonly answer: string;
  /** Of the property. */
  readonly value: string;
  /** What the model says of it, where it was asked and says a value. */
  readonly says?: string;
}

/** Strings whose mean is taken off another's. */
export interface SteeringGroups {
  readonly toward: readonly DonorString[];
  readonly from: readonly DonorString[];
  /** What strings of a group share. */
  readonly by: "answer" | "value" | "halves";
  /** The value that it leads to; of halves the string's own. */
  readonly value: string;
}

export interface ChosenDonors {
  readonly other: readonly DonorString[];
  readonly same: readonly DonorString[];
  readonly steered: readonly SteeringGroups[];
  /** By the number of the steering vector that each stands beside. */
  readonly counter: readonly (SteeringGroups | undefined)[];
  /** Kind -> why there are none. */
  readonly lacking: Readonly<Partial<Record<"other" | "same" | "steered" | "counter", string>>>;
}

/** Fewer strings make no mean: one string's state would bring its words along. */
const FEWEST_IN_GROUP = 2;

/**
 * A seeded choice of the string's donors: with another behavior, with the same answer or else the same value, and groups of train strings
 * whose difference leads to another behavior.
 * @param count of each kind @param name with the seed in it
 */
export function chooseDonors(
  own: DonorString,
  all: readonly DonorString[],
  { count, name }: { readonly count: number; readonly name: string },
): ChosenDonors {
  const others = all.filter(({ cluster }) => cluster !== own.cluster);
  const order = (strings: readonly DonorString[], what: string) =>
    inSeededOrder(strings, ({ item }) => `${name}/${what}/${own.item}/${item}`);
  const known = order(
    others.filter(({ value }) => value !== own.value),
    "other",
  );
  // Of a donor that was asked about too it can be told whether its behavior is followed, or what is said of it.
  const other = [...known.filter(({ says }) => says !== undefined), ...known.filter(({ says }) => says === undefined)];
  const alike = order(
    others.filter(({ value }) => value === own.value),
    "same",
  );
  const same = [
    ...alike.filter(({ answer }) => answer === own.answer),
    ...alike.filter((one) => one.answer !== own.answer),
  ];
  const { steered, counter, why } = steering(own, others, { count, name });
  return {
    other: other.slice(0, count),
    same: same.slice(0, count),
    steered,
    counter,
    lacking: {
      ...(other.length === 0 ? { other: "no other string shows another value" } : {}),
      ...(same.length === 0 ? { same: "no other string shows the same value" } : {}),
      ...(steered.length === 0 ? { steered: why } : {}),
      ...(steered.length > 0 && counter.every((one) => one === undefined)
        ? {
            counter:
              "no train strings lead elsewhere: a third value, another answer with the same one, or four strings of the own",
          }
        : {}),
    },
  };
}

function steering(
  own: DonorString,
  others: readonly DonorString[],
  { count, name }: { readonly count: number; readonly name: string },
): { steered: SteeringGroups[]; counter: (SteeringGroups | undefined)[]; why: string } {
  const train = others.filter(({ split }) => split === "train");
  const byAnswer = groupsOf(train, ({ answer, value }) => JSON.stringify([answer, value]));
  const byValue = groupsOf(train, ({ value }) => value);
  const ownAnswer = byAnswer.find(([first]) => first?.answer === own.answer && first.value === own.value);
  const answersElsewhere = byAnswer.filter(([first]) => first?.value !== own.value);
  const isByAnswer = ownAnswer !== undefined && answersElsewhere.length > 0;
  const [by, from, targets] = isByAnswer
    ? (["answer", ownAnswer, answersElsewhere] as const)
    : ([
        "value",
        byValue.find(([first]) => first?.value === own.value),
        byValue.filter(([first]) => first?.value !== own.value),
      ] as const);
  if (from === undefined) {
    const why = `fewer than ${FEWEST_IN_GROUP} train strings show the value that it shows`;
    return { steered: [], counter: [], why };
  }
  const groupName = (group: readonly DonorString[]) => JSON.stringify([group[0]?.answer, group[0]?.value]);
  const inOrder = (groups: readonly (readonly DonorString[])[], what: string) =>
    inSeededOrder(groups, (group) => `${name}/${what}/${own.item}/${groupName(group)}`);
  const toward = inOrder(targets, "steered").slice(0, count);
  const why = `no other value is shown by ${FEWEST_IN_GROUP} train strings`;
  const make = (group: readonly DonorString[], how: SteeringGroups["by"]): SteeringGroups => {
    return { toward: group, from, by: how, value: (group[0] as DonorString).value };
  };
  const counterOf = (target: readonly DonorString[]): SteeringGroups | undefined => {
    const ownOtherAnswers = byAnswer.filter((group) => group !== ownAnswer && group[0]?.value === own.value);
    const third = targets.filter((group) => group[0]?.value !== target[0]?.value);
    const [elsewhere] = [...(isByAnswer ? inOrder(ownOtherAnswers, "counter") : []), ...inOrder(third, "counter")];
    if (elsewhere) return make(elsewhere, by);
    const halves = inSeededOrder(
      train.filter(({ value }) => value === own.value),
      ({ item }) => `${name}/halves/${own.item}/${item}`,
    );
    if (halves.length < 2 * FEWEST_IN_GROUP) return undefined;
    const half = halves.length >> 1;
    return { toward: halves.slice(0, half), from: halves.slice(half), by: "halves", value: own.value };
  };
  return { steered: toward.map((group) => make(group, by)), counter: toward.map(counterOf), why };
}

function groupsOf(
  strings: readonly DonorString[],
  nameOf: (string: DonorString) => string,
): (readonly DonorString[])[] {
  const groups = new Map<string, DonorString[]>();
  for (const string of strings) groups.set(nameOf(string), [...(groups.get(nameOf(string)) ?? []), string]);
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, own]) => (own.length < FEWEST_IN_GROUP ? [] : [own]));
}

// Vectors.

/** Another token than those, by chance, before the last of them. @returns undefined where there is none */
export function shiftedToken(tokens: readonly number[], name: string): number | undefined {
  const last = tokens.at(-1) ?? 0;
  const free = Array.from({ length: last }, (_, at) => at).filter((at) => !tokens.includes(at));
  return shuffled(free, seededRandom(name))[0];
}

// A span of the donor at a span of the recipient.

/** `last` the last token of each · `each` token by token, of spans with as many. */
export type SpanRule = "last" | "each";

/** @returns places of the donor and of the recipient, one by one; or why they cannot be told */
export function alignTokens(
  donor: readonly number[],
  recipient: readonly number[],
  rule: SpanRule,
):
  | { readonly ok: true; readonly donor: readonly number[]; readonly recipient: readonly number[] }
  | { readonly ok: false; readonly reason: string } {
  if (donor.length === 0 || recipient.length === 0) return { ok: false, reason: "a span has no tokens" };
  if (rule === "last") return { ok: true, donor: donor.slice(-1), recipient: recipient.slice(-1) };
  if (donor.length === recipient.length) return { ok: true, donor, recipient };
  return {
    ok: false,
    reason: `the donor's span has ${donor.length} tokens and the recipient's ${recipient.length}: token by token they must be as many; by their last tokens they need not`,
  };
}
