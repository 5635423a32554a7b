/** Ctrl-C: the first lets the work in flight end cleanly, the second ends the process at once. */
export function abortOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      process.stderr.write("\nStopping after what is in flight; once more to stop at once.\n");
      controller.abort();
    });
  }
  return controller.signal;
}
