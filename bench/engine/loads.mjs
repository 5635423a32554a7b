// What is asked in engine-items-per-second.mjs: prompts as token ids, so that every contender reads the same.
const { loadTask } = await import("../../dist/study/load-task.js");
const { objectLevelMessages, objectLevelPrompt } = await import("../../dist/tasks/task.js");
const { hypotheticalTurns, hypotheticalVariant } = await import("../../dist/properties/wordings.js");
const { propertyNamed } = await import("../../dist/properties/all-properties.js");

/** Items that warm a process up; asked before the timed ones and never among them. */
export const WARM_UP_ITEMS = 8;
const PROPERTIES_PER_STRING = 8;
/** Tokens of a prompt that shares nothing, and the fewest to which one is cut to begin with a token of its own. */
const LONE_TOKENS = 39;
const FEWEST_LONE_TOKENS = 32;
const ANSWER_TOKENS = 8;

export const LOADS = { object: objectLevel, hypothetical, lone };

/** The object-level stage: one instruction and its solved examples before every string. */
async function objectLevel(items, model) {
  const { definition, heldOut } = await loadTask("animals_long");
  const chosen = heldOut.slice(0, items + WARM_UP_ITEMS);
  const messages = chosen.map((item) => objectLevelMessages(definition, item, { examples: true, system: "" }));
  return split(await rendered(messages, model), definition.maxTokens);
}

/** The hypothetical stage: every string is asked about with eight properties, one after the other. */
async function hypothetical(items, model) {
  const { definition, heldOut } = await loadTask("animals_long");
  const { template } = hypotheticalVariant("minimal");
  const properties = definition.properties.slice(0, PROPERTIES_PER_STRING);
  const strings = heldOut.slice(0, Math.ceil((items + WARM_UP_ITEMS) / properties.length));
  const messages = strings.flatMap((item) =>
    properties.map((property) => [
      { role: "system", content: "" },
      ...hypotheticalTurns(
        template,
        objectLevelPrompt(definition, item, { examples: true }),
        propertyNamed(property).question,
      ),
    ]),
  );
  return split((await rendered(messages, model)).slice(0, items + WARM_UP_ITEMS), ANSWER_TOKENS);
}

/** Nothing shared: ends of stories' prompts, each beginning with a token that no other begins with. */
async function lone(items, model) {
  const { heldOut } = await loadTask("stories_sentences");
  const all = await rendered(
    heldOut.slice(0, 4 * (items + WARM_UP_ITEMS)).map(({ text }) => [
      { role: "system", content: "" },
      { role: "user", content: text },
    ]),
    model,
  );
  const begun = new Set();
  const prompts = [];
  for (const ids of all) {
    let length = Math.min(LONE_TOKENS, ids.length);
    while (length >= FEWEST_LONE_TOKENS && begun.has(ids.at(-length))) length--;
    if (length < FEWEST_LONE_TOKENS) continue;
    begun.add(ids.at(-length));
    prompts.push(ids.slice(-length));
  }
  if (prompts.length < items + WARM_UP_ITEMS) throw new Error(`Only ${prompts.length} prompts share nothing.`);
  return split(prompts.slice(0, items + WARM_UP_ITEMS), ANSWER_TOKENS);
}

async function rendered(conversations, model) {
  const prompts = [];
  for (const messages of conversations) prompts.push([...(await model.render(messages)).tokenIds]);
  return prompts;
}

function split(prompts, maxTokens) {
  return { warmUp: prompts.slice(-WARM_UP_ITEMS), prompts: prompts.slice(0, -WARM_UP_ITEMS), maxTokens };
}

/**
 * Tokens that no evaluation can do without: nodes of the tree of all prompts, and every generated token but each answer's last,
 * whose successor nobody asks for. Counted here, apart from the engine's own count.
 */
export function distinctTokens(prompts, answers) {
  const root = new Map();
  let nodes = 0;
  prompts.forEach((prompt, item) => {
    let node = root;
    for (const id of [...prompt, ...answers[item].slice(0, -1)]) {
      let next = node.get(id);
      if (next === undefined) {
        next = new Map();
        node.set(id, next);
        nodes++;
      }
      node = next;
    }
  });
  return nodes;
}
