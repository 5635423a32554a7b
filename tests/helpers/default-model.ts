import { resolveModel } from "../../src/model/resolve-model.js";

/** Path of the default model as shipped, fetched and checked when it is not here yet. */
export async function defaultModelPath(): Promise<string> {
  return (await resolveModel("smollm2-135m-instruct", { encoding: "as_shipped" })).path;
}
