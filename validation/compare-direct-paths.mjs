// Holds direct logit attribution, subspace patches, patchscopes and back-patching against TransformerLens in double precision, on the same weights.
// node validation/compare-direct-paths.mjs [--model smollm2-135m-instruct] [--threads 2] [--json]
// Every component's logits of two tokens; logprobs after a patched prompt of all tokens of probability 1e-6 or more. Exit code 4 where a part is farther than
// 2e-5 of its kind's largest logit, or a logprob than 1e-4 nats (issue 18). The Python environment takes 4.5 GB on first use.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { peerModelFolder, runPeer, transformerLensFolder } from "../bench/train/peft-environment.mjs";
import { prepare } from "../scripts/prepare.mjs";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    threads: { type: "string", default: "2" },
    json: { type: "boolean", default: false },
  },
});
const REFERENCE = fileURLToPath(new URL("direct_paths_in_transformer_lens.py", import.meta.url));
const [GREATEST_SHARE, GREATEST_NATS, VERIFICATION_MISMATCH] = [2e-5, 1e-4, 4];
const PROMPTS = [
  "Name one animal that lives in the sea.",
  "What is 12 plus 30? Answer with a number.",
  "Is snow warm?",
];

prepare();
const { findModel } = await import("../dist/run/open-model.js");
const { readGguf } = await import("../dist/gguf/read-gguf.js");
const { startEngine } = await import("../dist/model/engines/start-engine.js");
const { DEFAULT_ENGINE } = await import("../dist/study/load-study.js");
const { siteName, stateShapeOf } = await import("../dist/model/sites.js");
const { attributionSites, LogitAttribution } = await import("../dist/probe/logit-attribution.js");
const { subspaceOf, subspacePatch } = await import("../dist/probe/subspace.js");
const { captureBeside } = await import("../dist/run/captured-states.js");
const { randomVector } = await import("../dist/base/vectors.js");

const { file } = await findModel(options.model, { encoding: "f32" });
const shape = stateShapeOf(await readGguf(file.path), file.path);
const engine = { ...DEFAULT_ENGINE, device: "cpu", threads: Number(options.threads), forward: "own" };
const work = mkdtempSync(join(tmpdir(), "inward-direct-"));
const model = await startEngine(file.path, engine);
const attribution = await LogitAttribution.open(file.path);
try {
  const prompts = PROMPTS.map((content, at) => ({
    id: `${at}`,
    messages: [
      { role: "system", content: "" },
      { role: "user", content },
    ],
  }));
  const ids = [];
  for (const { messages } of prompts) ids.push((await model.render(messages)).tokenIds);
  const sites = attributionSites(shape).map(siteName);
  const residuals = Array.from({ length: shape.layers }, (_, layer) => `residual_after.${layer}`);
  const captured = await captureBeside(prompts, file.path, {
    ...{ engine, out: join(work, "states"), sites: [...new Set([...sites, ...residuals])].join(",") },
  });
  const stateOf = (site, id) => captured.states.get(site).get(id).values;
  const attributions = [];
  for (const [at, { id, messages }] of prompts.entries()) {
    const { steps } = await model.nextTokens(messages, [[]], 2);
    attributions.push({ id, ids: ids[at], tokens: Array.from(steps[0].ids) });
  }
  const made = await attribution.attribute(
    attributions.map(({ id, tokens }) => ({ name: id, states: (site) => stateOf(site, id), tokenIds: tokens })),
  );
  const partsOf = ({ parts, heads }) =>
    Object.fromEntries([...parts, ...heads].map(({ component, logits }) => [component, logits]));
  const rows = [];
  const patches = [];
  const middle = shape.layers >> 1;
  for (const [what, from, into] of [
    ["patchscope", middle, 2],
    ["patchscope", middle, middle],
    ["back-patching", middle + 4, middle - 6],
    ["back-patching", shape.layers - 2, 1],
    ["subspace", middle, middle],
    ["subspace", 3, 3],
  ]) {
    for (const [at, { id, messages }] of prompts.entries()) {
      const donor = what === "back-patching" ? at : (at + 1) % prompts.length;
      const state = stateOf(`residual_after.${from}`, prompts[donor].id);
      const token = ids[at].length - 1;
      const site = { part: "residual_after", layer: into };
      const directions = Float32Array.from(
        [1, 2, 3].flatMap((draw) => [...randomVector(shape.embedding, 1, `${what}/${from}/${draw}`)]),
      );
      const interventions =
        what === "subspace"
          ? subspacePatch(subspaceOf(site, directions, shape.embedding), {
              token,
              own: stateOf(siteName(site), id),
              donor: state,
              name: id,
            }).patch
          : [{ site, tokens: [token], operation: "replace", values: state }];
      if (what === "subspace") rows.push(directions);
      const taken = ids[donor].length - 1;
      const about = {
        what,
        ids: ids[at],
        at: token,
        into: siteName(site),
        donorIds: ids[donor],
        from: `residual_after.${from}`,
        taken,
      };
      patches.push({ ...about, rows: what === "subspace" ? 3 : 0, request: { messages, interventions } });
    }
  }
  const { vocabularySize } = model.facts;
  const replies = await model.ask(
    patches.map(({ request }) => ({ ...request, maxTokens: 1, temperature: 0, topTokens: vocabularySize })),
  );
  const ours = new Float32Array(patches.length * vocabularySize);
  replies.forEach(({ first }, item) => {
    first.tokenIds.forEach((id, at) => {
      ours[item * vocabularySize + id] = first.logprobs[at];
    });
  });
  writeFileSync(join(work, "rows"), Buffer.concat(rows.map((one) => new Uint8Array(one.buffer))));
  writeFileSync(join(work, "ours"), new Uint8Array(ours.buffer));
  const request = {
    modelFolder: peerModelFolder(file),
    ...{ rows: join(work, "rows"), ours: join(work, "ours"), vocabulary: vocabularySize },
    attributions: attributions.map(({ ids: own, tokens }, at) => ({ ids: own, tokens, parts: partsOf(made[at]) })),
    patches: patches.map(({ request: _, ...patch }) => patch),
  };
  const found = runPeer(REFERENCE, request, join(work, "request.json"), {
    threads: Number(options.threads),
    path: transformerLensFolder(),
  });
  const sums = Math.max(...made.map(({ apart }) => apart));
  const rounding = Math.max(...made.map((one) => one.rounding));
  process.stdout.write(`${JSON.stringify({ ...found, sums, rounding }, null, options.json ? 2 : 0)}\n`);
  // NaN is within nothing.
  const within =
    Object.keys(found.parts).length === 4 &&
    Object.keys(found.patches).length === 3 &&
    Object.values(found.parts).every(({ apart, largest }) => apart <= GREATEST_SHARE * largest) &&
    Object.values(found.patches).every(({ apart, moved }) => apart <= GREATEST_NATS && moved > 0.01);
  process.exitCode = within ? 0 : VERIFICATION_MISMATCH;
} finally {
  await attribution.close();
  await model.dispose();
  rmSync(work, { recursive: true, force: true });
}
