import type { StudyEngine } from "../records/study.js";
import { studySchema } from "./study-schema.js";

/** The engine settings of a study that names none. */
export const DEFAULT_ENGINE: StudyEngine = studySchema.shape.engine.parse({});
