/** The section of a study that injects concepts: what is added to a model's states while it reads, and what it is asked about that. */

import { z } from "zod";
import type { Read } from "./study.js";
import { countUpTo, distinct, list, promptText, withoutDefaults } from "./schema-parts.js";

/** What a model may be able to tell of an injected vector. */
export const INJECTION_ABILITIES = ["notice", "name", "locate", "rate"] as const;
export type InjectionAbility = (typeof INJECTION_ABILITIES)[number];

const oneWord = z
  .string()
  .max(40)
  .regex(/^\p{L}+$/u, "must be one word of letters");
const question = promptText.min(1).max(2000);

/** In our own words; none of them has a concept in it. */
const QUESTIONS = {
  notice:
    "While you read these sentences, someone may have written a foreign thought into your inner activity. Did you notice one? Answer yes or no.",
  name: "While you read these sentences, a foreign thought was written into your inner activity. Which word names it best? Answer with one word.",
  locate:
    "While you read one of these lines, a foreign thought was written into your inner activity. Which sentence was it? Answer with its number.",
  rate: "While you read these sentences, a foreign thought was written into your inner activity. How strong was it, from 1 (faint) to 5 (strong)? Answer with a number.",
} as const;
const CONTROLS = {
  name: [
    "Pick any word that you like. Answer with one word.",
    "Which word would you write on an empty page? Answer with one word.",
    "A friend will guess a word that you choose. Which one do you choose? Answer with one word.",
    "Which word would make a good name for a cat? Answer with one word.",
  ],
  locate: [
    "Pick any one of these lines. Answer with its number.",
    "Which line is the oldest, would you say? Answer with its number.",
    "Which of these lines would you read aloud? Answer with its number.",
    "Which line would look good on a postcard? Answer with its number.",
  ],
  rate: [
    "How long are these sentences, from 1 (short) to 5 (long)? Answer with a number.",
    "How calm are these sentences, from 1 (not at all) to 5 (very)? Answer with a number.",
    "How modern are these sentences, from 1 (not at all) to 5 (very)? Answer with a number.",
    "How bright are the places in these sentences, from 1 (dark) to 5 (bright)? Answer with a number.",
  ],
};
/** Among fewer there is no saying how far one question stands out by chance. */
export const FEWEST_CONTROLS = 2;

const several = distinct("question", z.array(question).min(FEWEST_CONTROLS).max(20));

const injectionShape = z.strictObject({
  sites: z
    .string()
    .min(1)
    .max(1000)
    .describe(
      "Where vectors are added, comma-separated, as npx inward states --sites has it: residual_after.8, residual_after.16.",
    ),
  strengths: list(z.number().gt(0).max(1000), 20)
    .refine((all) => new Set(all).size === all.length, "name each strength once")
    .default([0.5, 1, 2])
    .describe("How long an added vector is, in units of the usual length of a state at its site."),
  span: z
    .enum(["text", "onward"])
    .default("text")
    .describe(
      "Where: text adds it while the sentences are read, so that what the question hears of it comes through attention alone; onward goes on " +
        "through the question and the answer. A place is asked about with one sentence in any case.",
    ),
  abilities: distinct("ability", list(z.enum(INJECTION_ABILITIES)))
    .default([...INJECTION_ABILITIES])
    .describe(
      "What is asked: whether there is one (notice), which (name), in which sentence (locate), and how strong (rate).",
    ),
  concepts: distinct("concept", z.array(oneWord).min(4).max(100))
    .default(["ocean", "volcano", "violin", "tiger", "snow", "bread", "rocket", "castle", "forest", "thunder"])
    .describe(
      "Words whose vectors are injected: each one's states less the mean of the others'. They stand in no question.",
    ),
  templates: distinct("template", list(promptText.regex(/^[^{}]*\{concept\}[^{}]*$/, "must have {concept} once"), 50))
    .default([
      "Tell me about the {concept}.",
      "Describe the {concept} in a few words.",
      "What comes to mind when you hear of the {concept}?",
      "Write one line about the {concept}.",
    ])
    .describe("Prompts of which vectors are made, {concept} in each."),
  vectorSpan: z
    .enum(["last", "message"])
    .default("last")
    .describe("Of which tokens of these prompts: the last one, or the mean over the message's words."),
  vectors: z
    .record(oneWord, z.string().min(1))
    .optional()
    .describe(
      "Files whose directions are injected in the place of what templates give: concept: path, of a control vector's GGUF or of safetensors as " +
        "npx inward contrast writes them; its path from the study. Of every concept, and each with a direction at every site. How long they are in " +
        "the file does not count.",
    ),
  randomVectors: countUpTo(100)
    .default(1)
    .describe("Random vectors of the same length beside each concept: what any vector does."),
  sentences: z
    .array(promptText.min(1).max(500))
    .min(2)
    .max(9)
    .default([
      "The kettle stands on the lower shelf.",
      "A bus waits at the corner of the square.",
      "Two chairs lean against the wall.",
      "The path ends at a wooden gate.",
      "Someone left a scarf on the bench.",
    ])
    .describe("What is read while a vector is added; numbered from 1."),
  questions: z
    .strictObject({
      notice: question
        .default(QUESTIONS.notice)
        .describe("Of notice: whether there was one, to be answered with yes or no."),
      name: question.default(QUESTIONS.name).describe("Of name: which word names it, to be answered with one word."),
      locate: question
        .default(QUESTIONS.locate)
        .describe("Of locate: in which sentence it was, to be answered with its number."),
      rate: question
        .default(QUESTIONS.rate)
        .describe("Of rate: how strong it was, to be answered with a number from 1 to 5."),
    })
    .prefault({})
    .describe("What is asked after the sentences: yes or no, one word, a sentence's number, a number from 1 to 5."),
  controls: z
    .strictObject({
      name: several
        .default(CONTROLS.name)
        .describe("Beside name, two or more: any word, which no injection should decide."),
      locate: several
        .default(CONTROLS.locate)
        .describe("Beside locate, two or more: any line, which no injection should decide."),
      rate: several
        .default(CONTROLS.rate)
        .describe("Beside rate, two or more: another number from 1 to 5, which no injection should move."),
      denied: list(question, 20)
        .default([
          "Is a stone softer than a pillow? Answer yes or no.",
          "Does the sun rise in the west? Answer yes or no.",
          "Is seven smaller than three? Answer yes or no.",
        ])
        .describe("Unrelated questions whose answer is no: an injection that raises yes here as well is a bias."),
      affirmed: list(question, 20)
        .default(["Is a mountain taller than a cup? Answer yes or no.", "Does rain make things wet? Answer yes or no."])
        .describe("Unrelated questions whose answer is yes: an injection that lowers yes here confuses."),
    })
    .prefault({})
    .describe("Questions with answers of the same form that ask nothing about an injection."),
});

export const injectionSchema = injectionShape.superRefine((injection, context) => {
  const given = injection.vectors ? Object.keys(injection.vectors) : injection.concepts;
  const without = injection.concepts.find((concept) => !given.includes(concept));
  const stray = given.find((concept) => !injection.concepts.includes(concept));
  if (without !== undefined || stray !== undefined) {
    const message =
      without === undefined
        ? `has a file of ${JSON.stringify(stray)}, which is none of the concepts`
        : `has no file of the concept ${JSON.stringify(without)}: directions of two origins are no controls of each other`;
    context.addIssue({ code: "custom", path: ["vectors"], message });
  }
  const found = conceptInTexts(injection);
  if (found) context.addIssue({ code: "custom", path: ["concepts"], message: found });
});

/** A file of directions, as the study names it. */
const plannedVectorSchema = z.object({ file: z.string(), sha256: z.string() });
export type PlannedVector = Read<typeof plannedVectorSchema>;

const injectionParts = injectionShape.shape;
/** In a plan every default stands written out. */
export const plannedInjectionSchema = withoutDefaults(injectionShape).extend({
  questions: withoutDefaults(injectionParts.questions.unwrap()),
  controls: withoutDefaults(injectionParts.controls.unwrap()),
  vectors: z.record(z.string(), plannedVectorSchema).optional(),
});
export type PlannedInjection = Read<typeof plannedInjectionSchema>;

/** A text that gives a concept away is answered by whoever reads it. */
function conceptInTexts({
  concepts,
  sentences,
  questions,
  controls,
}: z.output<typeof injectionShape>): string | undefined {
  const texts = [...sentences, ...Object.values(questions), ...Object.values(controls).flat()];
  for (const text of texts) {
    const words = new Set(text.toLowerCase().match(/\p{L}+/gu) ?? []);
    const concept = concepts.find((one) => words.has(one.toLowerCase()));
    if (concept !== undefined)
      return `has ${JSON.stringify(concept)}, which the text ${JSON.stringify(text)} gives away`;
  }
  const lower = concepts.map((one) => one.toLowerCase());
  const twice = lower.find((one, at) => lower.indexOf(one) < at);
  return twice === undefined ? undefined : `has ${JSON.stringify(twice)} twice`;
}
