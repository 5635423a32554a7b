import { z } from "zod";

/** Names that become parts of file names. */
export const nameSchema = z.string().regex(/^[a-z0-9][a-z0-9_.-]*$/, "use lower-case letters, digits, _ . and -");
