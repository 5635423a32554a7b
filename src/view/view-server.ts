/** The viewer's server: on this machine alone, for whoever has its address, to read and nothing else. */

import { randomBytes, timingSafeEqual } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { serve } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { InwardError } from "../errors.js";
import { ViewFiles, type ViewFilesOptions } from "./view-files.js";

export interface ViewServerOptions extends ViewFilesOptions {
  /** Folder of the built page. */
  readonly page: string;
  /** Default: any that is free. */
  readonly port?: number;
}

export interface ViewServer {
  readonly port: number;
  /** A fresh address that opens the page once, in one browser. */
  readonly address: () => string;
  readonly close: () => Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".map": "application/json",
};

/** Nothing runs that is not the page's own file, nothing loads from elsewhere, nothing is framed. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** A report is a document of its own, with styles in it and no script: it is shown without any right. */
const REPORT_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

/** @throws VIEW_PAGE where the page was not built · VIEW_PORT */
export async function startViewServer(options: ViewServerOptions): Promise<ViewServer> {
  const files = new ViewFiles(options);
  const access = new Access();
  const app = viewApp(files, readPage(options.page), access);
  const server = await listen(app, options.port ?? 0);
  const { port } = server.address() as AddressInfo;
  access.port = port;
  return {
    port,
    address: () => `http://127.0.0.1:${port}/?token=${access.newToken()}`,
    close: async () => {
      await files.close();
      await new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      });
    },
  };
}

type Served = ReturnType<typeof serve> & { closeAllConnections(): void };

function listen(app: Hono, port: number): Promise<Served> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port }, () => resolve(server)) as Served;
    server.on("error", (error: NodeJS.ErrnoException) => {
      reject(new InwardError("VIEW_PORT", `Port ${port} cannot be listened on (${error.code}).`, { cause: error }));
    });
  });
}

/** Who may look. A token is taken once, by the browser that opens the address; from then on its cookie counts. */
export class Access {
  port = 0;
  readonly #tokens = new Set<string>();
  readonly #session = randomBytes(32).toString("base64url");

  newToken(): string {
    const token = randomBytes(32).toString("base64url");
    this.#tokens.add(token);
    return token;
  }

  /** @returns whether it was good; it is not afterwards */
  spend(token: string): boolean {
    const found = [...this.#tokens].find((one) => isSame(one, token));
    if (found === undefined) return false;
    this.#tokens.delete(found);
    return true;
  }

  /** Browsers send cookies of one host to every port of it: the port in the name keeps two viewers apart. */
  get cookieName(): string {
    return `inward-view-${this.port}`;
  }

  get session(): string {
    return this.#session;
  }

  isKnown(cookie: string | undefined): boolean {
    return cookie !== undefined && isSame(cookie, this.#session);
  }

  /** A name that a foreign site has pointed at this machine is no name of ours. */
  isOwnHost(host: string | undefined): boolean {
    return host === `127.0.0.1:${this.port}` || host === `localhost:${this.port}`;
  }
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

type Page = ReadonlyMap<string, { readonly type: string; readonly bytes: Uint8Array<ArrayBuffer> }>;

/** All of it, once: no request reads from the folder. */
function readPage(folder: string): Page {
  let entries: ReturnType<typeof filesUnder>;
  try {
    entries = filesUnder(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InwardError("VIEW_PAGE", `The page is not built: ${folder} cannot be read (${code}).`, { cause: error });
  }
  return new Map(
    entries.map((name) => [
      `/${name.replaceAll("\\", "/")}`,
      {
        type: TYPES[extname(name)] ?? "application/octet-stream",
        bytes: new Uint8Array(readFileSync(join(folder, name))),
      },
    ]),
  );
}

export function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, "/").length));
}

/** @param page by path of the request */
export function viewApp(files: ViewFiles, page: Page, access: Access): Hono {
  const app = new Hono();

  app.use(async (context, next) => {
    const refused = refusal(context, access);
    if (refused) context.res = refused;
    else await next();
    const { headers } = context.res;
    if (!headers.has("Content-Security-Policy")) headers.set("Content-Security-Policy", PAGE_POLICY);
    headers.set("X-Content-Type-Options", "nosniff");
    headers.set("Referrer-Policy", "no-referrer");
    headers.set("Cross-Origin-Opener-Policy", "same-origin");
    headers.set("Cross-Origin-Resource-Policy", "same-origin");
    headers.set("Cache-Control", "no-store");
  });

  app.get("/", (context) => {
    const token = context.req.query("token");
    if (token !== undefined) {
      if (!access.spend(token) && !access.isKnown(getCookie(context, access.cookieName)))
        return context.text(SPENT, 403);
      setCookie(context, access.cookieName, access.session, { httpOnly: true, sameSite: "Strict", path: "/" });
      return context.redirect("/", 303);
    }
    return pageFile(context, page, "/index.html");
  });

  app.get("/data/*", async (context) => {
    const parts = partsOf(context.req.raw.url);
    if (parts === undefined) return context.text("There is no such file.", 404);
    const found = await files.get(parts.slice(1));
    if (found === undefined) return context.text("There is no such file.", 404);
    if (found.kind === "json") return context.json(found.value as object);
    context.header("Content-Security-Policy", REPORT_POLICY);
    return context.body(new Uint8Array(found.bytes), 200, { "Content-Type": TYPES[".html"] as string });
  });

  app.get("*", (context) => pageFile(context, page, new URL(context.req.url).pathname));

  app.onError((error, context) => {
    const known = error instanceof InwardError;
    const status = known && error.code === "STORE_INCOMPLETE" ? 404 : known ? 422 : 500;
    const { code, message } = known ? error : { code: "INTERNAL", message: String(error.message) };
    return context.json({ error: { code, message } }, status);
  });
  return app;
}

const SPENT =
  "This address was used before, or is not of this viewer. Press Enter where npx inward view runs for another one.\n";
const STRANGER = "Open the address that npx inward view printed.\n";

/** @returns why a request gets nothing; undefined where it may pass */
function refusal(context: Context, access: Access): Response | undefined {
  const { method } = context.req;
  if (!access.isOwnHost(context.req.header("host"))) return context.text("This is no name of this viewer.\n", 421);
  const origin = context.req.header("origin");
  if (origin !== undefined && !access.isOwnHost(/^http:\/\/(.*)$/.exec(origin)?.[1])) {
    return context.text("Pages of other sites get nothing here.\n", 403);
  }
  // Browsers say where a request comes from, and pages cannot change what they say.
  const site = context.req.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    return context.text("Pages of other sites get nothing here.\n", 403);
  }
  if (method !== "GET" && method !== "HEAD") return context.text("There is nothing to write here.\n", 405);
  const { pathname, searchParams } = new URL(context.req.url);
  if (pathname === "/" && searchParams.has("token")) return undefined;
  return access.isKnown(getCookie(context, access.cookieName)) ? undefined : context.text(STRANGER, 401);
}

/** Names of a path, decoded once; undefined for what no name of ours has. */
function partsOf(url: string): string[] | undefined {
  const { pathname } = new URL(url);
  try {
    const parts = pathname.slice(1).split("/").map(decodeURIComponent);
    return parts.every((part) => /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(part)) ? parts : undefined;
  } catch {
    return undefined;
  }
}

function pageFile(context: Context, page: Page, path: string): Response {
  const file = page.get(path);
  if (file === undefined) return context.text("There is no such file.", 404);
  return context.body(file.bytes, 200, { "Content-Type": file.type });
}
