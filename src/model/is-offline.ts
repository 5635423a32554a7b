/** Whether the user has asked every program to stay off the network: Hugging Face's own variable. */
export function isOffline(env: NodeJS.ProcessEnv): boolean {
  return ["1", "true", "yes", "on"].includes((env.HF_HUB_OFFLINE ?? "").toLowerCase());
}
