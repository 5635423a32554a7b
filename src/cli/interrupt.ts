/** Ctrl-C: the first lets the work in flight end cleanly, the second ends the process at once. */
let controller: AbortController | undefined;

/** One signal for the whole process, however often it is asked for. */
export function abortOnInterrupt(): AbortSignal {
  if (controller) return controller.signal;
  const own = new AbortController();
  controller = own;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (own.signal.aborted) process.exit(130);
      process.stderr.write("\nStopping after what is in flight; once more to stop at once.\n");
      own.abort();
    });
  }
  return own.signal;
}
