/** The viewer's page as files that its server holds: npm run build. Nothing is loaded while it is shown. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  // Relative, so that a bundle works in any folder of a web server.
  base: "./",
  publicDir: false,
  logLevel: "warn",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: fileURLToPath(new URL("../dist/page", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    // light-dark() stands as it is written.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    // A page of one script needs no loader of others, which would be an inline style of its own.
    modulePreload: false,
    reportCompressedSize: false,
  },
});
