// onnxruntime's turn: prompts of one length read together, then answers made together, in this process.
import { readFileSync } from "node:fs";

const { OnnxSession } = await import("../../dist/onnx/onnx-session.js");

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const settings = { threads: request.threads, spin: true };
const session = await OnnxSession.open(request.graphPath, settings, request.cacheShape);
await session.time(request.warmUp, 2);
const { promptSeconds, answerSeconds, tokenIds } = await session.time(request.prompts, request.maxTokens);
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(`${JSON.stringify({ promptSeconds, answerSeconds, tokenIds, peakBytes })}\n`);
process.exit(0);
