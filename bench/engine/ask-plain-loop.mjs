// The plain loop's turn: plain-loop.cpp in a process of its own, told what every driver is told.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";

const request = JSON.parse(readFileSync(process.argv[2], "utf8"));
const idsPath = `${process.argv[2]}.ids`;
const prompts = [...request.warmUp, ...request.prompts];
writeFileSync(idsPath, prompts.map((ids) => `${ids.join(" ")}\n`).join(""));
try {
  const { plainLoop, libraries } = request.peers;
  const numbers = [request.warmUp.length, request.sequences, request.maxTokens, request.threads, request.batchTokens];
  const cache = [request.cacheType, request.unified ? "unified" : "own"];
  const args = [libraries, request.modelPath, idsPath, ...numbers.map(String), ...cache];
  const { status, signal, stdout } = spawnSync(plainLoop, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`plain-loop ended with ${signal ?? status}.`);
  process.stdout.write(stdout);
} finally {
  rmSync(idsPath);
}
