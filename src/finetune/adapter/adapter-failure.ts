/** What the readers of model files say about a file, said about an adapter. */
import { InwardError } from "../../errors.js";

/** @returns ADAPTER_NOT_FOUND or ADAPTER_INVALID for a file that cannot be read as an adapter, any other error as it is */
export function adapterFailure(error: unknown): unknown {
  if (!(error instanceof InwardError)) return error;
  switch (error.code) {
    case "MODEL_NOT_FOUND":
      return new InwardError("ADAPTER_NOT_FOUND", error.message, { cause: error });
    case "MODEL_NOT_GGUF":
    case "MODEL_TRUNCATED":
    case "MODEL_TENSOR_TYPE":
      return new InwardError("ADAPTER_INVALID", error.message, { cause: error });
    default:
      return error;
  }
}
