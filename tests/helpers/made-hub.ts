/** A hub on this machine that serves made files under `/<user>/<repo>/resolve/<revision>/<file>`, for tests of downloads. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface MadeHub {
  readonly url: string;
  /** Paths that were asked for, without the query. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

/** @param files content by file name; `silent` takes connections and never answers, `stalling` sends half of each file */
export async function makeHub(
  files: Readonly<Record<string, Uint8Array>>,
  manner: "answering" | "silent" | "stalling" = "answering",
): Promise<MadeHub> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://hub").pathname;
    asked.push(path);
    if (manner === "silent") return;
    const content = files[path.split("/").at(-1) ?? ""];
    if (content === undefined) {
      response.writeHead(path === "/" ? 200 : 404).end();
      return;
    }
    const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Math.min(Number(range[2]), content.length - 1) : content.length - 1;
    const part = content.subarray(start, end + 1);
    response.writeHead(range ? 206 : 200, {
      "accept-ranges": "bytes",
      "content-length": part.length,
      ...(range ? { "content-range": `bytes ${start}-${end}/${content.length}` } : {}),
    });
    if (request.method === "HEAD") response.end();
    else if (manner === "stalling") response.write(part.subarray(0, part.length / 2));
    else response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
